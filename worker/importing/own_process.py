"""Run a function on an untrusted file in a process of its own, with limits of time and memory.

succeeds(work, seconds=..., further_bytes=..., should_stop=...)
"""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from densitylab.worker.errors import Interrupted, out_of_memory
from densitylab.worker.importing.errors import BadModelFile

_LISTEN_SECONDS = 0.2  # how often `should_stop` is asked
_WAITING = 10  # a process that waits takes no processor time: the limit of the time in all, as a multiple of that
_SENTENCE_BYTES = 16_000
_TOO_LARGE = "The file needs far more memory than its size: it can't be read safely."


def succeeds(work: Callable[[], object], *, seconds: int, further_bytes: int, should_stop: Callable[[], bool]) -> None:
    """Run `work` in a copy of this process, which ends with it; return once it has succeeded.

    Unpickling holds Python's lock for as long as it takes to hash a crafted key, and may overflow the stack: neither a
    thread nor an exception ends that, but the kernel does.

    Args:
        work: what to do; its result is discarded.
        seconds: of processor time that it may take.
        further_bytes: of memory that it may take beside what this process has.
        should_stop: asked while it runs.

    Raises:
        BadModelFile: `work` raised it, or any other exception, took too much, waited for ten times `seconds`, or
            crashed.
        Interrupted: `should_stop()` returned True; the process was ended.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The copy has this thread alone, and uses nothing of the others
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        _run(work, writing, seconds, further_bytes)
    os.close(writing)
    try:
        sentence = _answer(reading, should_stop, time.monotonic() + _WAITING * seconds)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise BadModelFile(_of_signal(os.WTERMSIG(status), seconds))
    if os.WEXITSTATUS(status) != 0:
        raise BadModelFile(sentence or _TOO_LARGE)


def _answer(pipe: int, should_stop: Callable[[], bool], until: float) -> str:
    """Return what the process wrote until its end."""
    content = b""
    while True:
        if time.monotonic() > until:
            raise BadModelFile("Reading the file does not come to an end: it can't be read safely.")
        if should_stop():
            raise Interrupted("the reading of the file was stopped")
        if select.select([pipe], [], [], _LISTEN_SECONDS)[0]:
            chunk = os.read(pipe, _SENTENCE_BYTES)
            if not chunk:
                return content.decode(errors="replace")
            content += chunk


def _of_signal(number: int, seconds: int) -> str:
    if number == signal.SIGXCPU:
        return f"Reading the file takes more than {seconds} s of processor time: it can't be read safely."
    return f"The file makes PyTorch crash while it is read (signal {number}): it is damaged, or made to do so."


def _run(work: Callable[[], object], pipe: int, seconds: int, further_bytes: int) -> None:
    """Run the work, write the sentence of its error, and end this process."""
    code = 1
    try:
        faulthandler.disable()  # a crash is an answer here, no error of this program
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        _limit(resource.RLIMIT_CPU, seconds)
        _limit(resource.RLIMIT_CORE, 0)
        pages = Path("/proc/self/statm")
        if pages.exists():
            _limit(resource.RLIMIT_AS, int(pages.read_text().split()[0]) * resource.getpagesize() + further_bytes)
        work()
        code = 0
    except BadModelFile as error:
        os.write(pipe, str(error).encode(errors="replace")[:_SENTENCE_BYTES])
    except BaseException as error:
        sentence = _TOO_LARGE if out_of_memory(error) else f"The file can't be read ({type(error).__name__})."
        os.write(pipe, sentence.encode())
    finally:
        os._exit(code)


def _limit(kind: int, most: int) -> None:
    """Lower a limit of this process, within the one that it has."""
    _, hard = resource.getrlimit(kind)
    within = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (within, hard))
