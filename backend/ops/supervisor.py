"""Start, restart and stop child processes together, with a prefix on their output."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from densitylab.backend.shared import parent_end

_FIRST_DELAY = 0.2  # seconds before the first restart; doubles with each death
_LONGEST_DELAY = 10.0
_STEADY = 30.0  # after this uptime a child restarts with the first delay again
_FAILED_STARTS = 3  # deaths before the first answer after which the start fails
_POLL = 0.05
_POLL_WAITING = 0.02  # until all are ready
_CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)

Say = Callable[[str, str], None]


class StartError(RuntimeError):
    """A child cannot be started, or did not answer in time; the message is for the user."""


@dataclass
class Child:
    """A command that runs until it is stopped."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    nice: int = 0
    answers: Callable[[], bool] | None = None
    """True once it serves; None: it counts as ready when started, or when it has printed `prints`."""
    prints: str = ""
    """A part of the line that it prints when it is ready."""
    required: bool = True
    """True: a start fails if it does not become ready."""
    mend: Callable[[], str | None] | None = None
    """Called after it has ended by an error of its own, before it starts again; returns a line that says what was done,
    None if nothing."""
    held: bool = False
    """True: its standard input stays open until `release`, so that it can wait for that."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    restart_at: float = field(default=0.0, init=False)
    deaths: int = field(default=0, init=False)
    ready: bool = field(default=False, init=False)
    printed: bool = field(default=False, init=False)


class Supervisor:
    """Starts children in the order given, keeps them running, and leaves no process behind.

    To be used from the main thread: the kernel ends a child when the *thread* that forked it ends.
    """

    def __init__(self, say: Say) -> None:
        """Args: say: takes a child's name and one line of its output, or of ours about it."""
        self._say = say
        self._children: list[Child] = []
        self.stopping = False  # a plain flag: an Event can deadlock if a signal handler sets it

    def start(self, *children: Child, timeout: float = 60.0) -> list[Child]:
        """Start children together and wait until each is ready; meanwhile those started earlier are kept running.

        Returns:
            The children that are not required and not ready: they died three times, or were not ready in time.

        Raises:
            StartError: a command is missing, or a required child died three times or was not ready in time.
        """
        self.begin(*children)
        return self.wait(*children, timeout=timeout)

    def begin(self, *children: Child) -> None:
        """Start children, and wait for nothing.

        Raises:
            StartError: a command is missing.
        """
        for child in children:
            self._children.append(child)
            self._spawn(child)

    def release(self, *children: Child) -> None:
        """Close the standard input of held children."""
        for child in children:
            child.held = False
            if child.process is not None and child.process.stdin is not None:
                child.process.stdin.close()

    def wait(self, *children: Child, timeout: float = 60.0) -> list[Child]:
        """Wait until each of the children is ready, as `start` does."""
        deadline = time.monotonic() + timeout
        waiting = list(children)
        while waiting and not self.stopping:
            self.keep()
            for child in waiting:
                if child.required and child.deaths >= _FAILED_STARTS:
                    raise StartError(f"{child.name} ended {child.deaths} times before it answered; see its lines above")
                child.ready = _is_ready(child)
            waiting = [child for child in waiting if not child.ready and child.deaths < _FAILED_STARTS]
            if waiting and time.monotonic() > deadline:
                names = ", ".join(child.name for child in waiting if child.required)
                if names:
                    raise StartError(f"{names} did not answer within {timeout:.0f} s; see the lines above")
                break
            if waiting:
                time.sleep(_POLL_WAITING)
        return [child for child in children if not child.ready]

    def watch(self) -> None:
        """Keep the children running until `stopping` is set."""
        while not self.stopping:
            self.keep()
            time.sleep(_POLL)

    def keep(self) -> None:
        """Check every child once: record deaths, restart children whose delay has passed."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.restart_at:
                    try:
                        self._spawn(child)
                    except StartError as error:  # it has started before: the machine may be short of memory for a while
                        self._postpone(child, now, str(error))
            elif child.process.poll() is not None:
                self._on_exit(child, now)

    def stop(self, *rounds: tuple[Sequence[Child], float]) -> None:
        """End the children in rounds: SIGTERM to all of a round, its seconds of grace, then SIGKILL to what is left."""
        self.stopping = True
        for children, grace in rounds:
            living = [child.process for child in children if child.process is not None]
            for process in living:
                process.terminate()
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and any(process.poll() is None for process in living):
                time.sleep(_POLL)
            for child in children:
                if child.process is None:
                    continue
                if child.process.poll() is None:
                    self._say(child.name, f"did not end within {grace:.0f} s, killed")
                _kill_session(child.process.pid)
                child.process.wait()
                child.process = None

    @property
    def children(self) -> tuple[Child, ...]:
        """Return all started children, in the order of their start."""
        return tuple(self._children)

    def _spawn(self, child: Child) -> None:
        launcher = os.getpid()

        def before_exec() -> None:
            if parent_end.BY_KERNEL:
                parent_end.send(signal.SIGKILL, launcher)
            if child.nice:
                os.nice(child.nice)

        try:
            child.process = subprocess.Popen(
                child.argv,
                env=child.env,
                cwd=child.cwd,
                stdin=subprocess.PIPE if child.held else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before_exec,
            )
        except OSError as error:
            raise StartError(f"{child.name} cannot be started: {error}") from error
        child.started_at, child.printed = time.monotonic(), False
        assert child.process.stdout is not None
        threading.Thread(target=self._relay, args=(child, child.process.stdout), daemon=True).start()

    def _relay(self, child: Child, stream: BinaryIO) -> None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                child.printed = child.printed or child.prints in text
                self._say(child.name, text)

    def _on_exit(self, child: Child, now: float) -> None:
        assert child.process is not None
        code = child.process.returncode
        _kill_session(child.process.pid)
        child.process = None
        if now - child.started_at > _STEADY:
            child.deaths = 0
        cause = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if child.mend is not None and (code > 0 or -code in _CRASHES) and (line := child.mend()):
            self._say(child.name, line)
        self._postpone(child, now, cause)

    def _postpone(self, child: Child, now: float, cause: str) -> None:
        child.deaths += 1
        delay = min(_FIRST_DELAY * 2 ** min(child.deaths - 1, 20), _LONGEST_DELAY)
        child.restart_at = now + delay
        self._say(child.name, f"{cause}, starts again in {delay:.1f} s")


def _is_ready(child: Child) -> bool:
    if child.process is None:
        return False
    return child.answers() if child.answers is not None else child.printed or not child.prints


def _kill_session(session: int) -> None:
    """Kill what a child has left. Each child leads a session; a descendant may have a process group of its own."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
        except (ProcessLookupError, PermissionError, psutil.Error):  # it ended by itself, or is not ours
            continue
