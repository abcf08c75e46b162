"""Children that fail to start, die, or ignore SIGTERM; each is a real process."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from densitylab.backend.ops.supervisor import Child, StartError, Supervisor


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def text(self) -> str:
        return "\n".join(f"{name}: {line}" for name, line in self.lines)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def supervisor(log: Log) -> Iterator[Supervisor]:
    supervisor = Supervisor(log)
    yield supervisor
    supervisor.stop((supervisor.children, 0.0))


def python(name: str, code: str, **fields: object) -> Child:
    return Child(name, [sys.executable, "-c", code], os.environ, Path.cwd(), **fields)


def wait_for(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_child_that_never_starts_ends_the_start(supervisor: Supervisor, log: Log):
    broken = python("broken", "import sys; print('no such option'); sys.exit(3)", answers=lambda: False)
    with pytest.raises(StartError, match="broken ended 3 times before it answered"):
        supervisor.start(broken)
    assert log.text().count("broken: ended with status 3") == 3
    wait_for(lambda: log.text().count("broken: no such option") == 3)
    delays = [line.rsplit(" in ", 1)[1] for _, line in log.lines if "starts again" in line]
    assert delays == ["0.2 s", "0.4 s", "0.8 s"]


def test_a_child_is_ready_when_it_has_printed_so(supervisor: Supervisor, log: Log):
    slow = python("slow", "import time; time.sleep(0.5); print('now ready for work', flush=True); time.sleep(60)")
    slow.prints = "ready for "
    assert supervisor.start(slow) == []
    assert "slow: now ready for work" in log.text()


def test_a_held_child_waits_for_its_release_also_after_a_death(supervisor: Supervisor, log: Log):
    code = (
        "import sys, time\nprint('loaded', flush=True)\nsys.stdin.read()\nprint('serves', flush=True)\ntime.sleep(60)"
    )
    held = python("held", code, prints="serves", held=True)
    supervisor.begin(held)
    wait_for(lambda: log.lines == [("held", "loaded")])
    held.process.kill()
    wait_for(lambda: (supervisor.keep(), log.text().count("held: loaded") == 2)[1])
    assert "serves" not in log.text()
    supervisor.release(held)
    assert supervisor.wait(held) == []
    held.process.kill()  # once released, it does not wait again
    wait_for(lambda: (supervisor.keep(), log.text().count("held: serves") == 2)[1])


def test_a_start_goes_on_without_a_child_that_is_not_required(supervisor: Supervisor):
    deaf = python("deaf", "import time; time.sleep(60)", prints="ready", required=False)
    broken = python("broken", "raise SystemExit(3)", prints="ready", required=False)
    steady = python("steady", "import time; time.sleep(60)", answers=lambda: True)
    late = supervisor.start(deaf, broken, steady, timeout=3)
    assert [child.name for child in late] == ["deaf", "broken"]
    deaths = broken.deaths
    assert deaths >= 3
    wait_for(lambda: (supervisor.keep(), broken.deaths > deaths)[1])  # it is started again all the same


def test_one_that_never_answers_ends_the_start(supervisor: Supervisor):
    with pytest.raises(StartError, match="deaf did not answer within 0 s"):
        supervisor.start(python("deaf", "import time; time.sleep(60)", answers=lambda: False), timeout=0.3)


def test_a_command_that_is_missing_is_said(supervisor: Supervisor):
    with pytest.raises(StartError, match="absent cannot be started"):
        supervisor.start(Child("absent", ["/nonexistent/command"], os.environ, Path.cwd()))


def test_one_that_will_not_end_is_killed_with_all_it_has_started(supervisor: Supervisor, log: Log):
    stubborn = python(
        "stubborn",
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '60'], process_group=0).pid, flush=True)\n"
        "time.sleep(60)",
    )
    supervisor.start(stubborn)
    wait_for(lambda: log.lines)
    grandchild = psutil.Process(int(log.lines[0][1]))
    began = time.monotonic()
    supervisor.stop(([stubborn], 0.5))
    assert time.monotonic() - began < 3
    assert "stubborn: did not end within 0 s, killed" in log.text()
    wait_for(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_what_a_dead_child_leaves_is_ended_before_the_next_starts(supervisor: Supervisor, log: Log):
    code = (
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '60'], process_group=0).pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = python("parent", code)
    supervisor.start(parent)
    wait_for(lambda: log.lines)
    orphan = psutil.Process(int(log.lines[0][1]))
    parent.process.kill()
    wait_for(lambda: (supervisor.keep(), len(log.lines) >= 3)[1])
    assert "parent: was ended by SIGKILL, starts again in 0.2 s" in log.text()
    wait_for(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


def test_output_that_is_not_text_is_relayed(supervisor: Supervisor, log: Log):
    supervisor.start(python("odd", "import sys; sys.stdout.buffer.write(b'\\xff' + b'x' * 200_000 + b'\\nlast')"))
    wait_for(lambda: ("odd", "last") in log.lines)
    assert len(log.lines[0][1]) == 200_001
