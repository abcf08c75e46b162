"""A process whose parent is killed: the kernel ends it, and, as on a system without that call, a thread."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
# Forks a child that prints its number and waits; the parent waits for its own end
CODE = """
import ctypes, os, signal, sys, time
sys.platform, orphan = sys.argv[1], sys.argv[2] == "orphan"
from densitylab.backend.shared import parent_end
assert parent_end.BY_KERNEL == (sys.argv[1] == "linux")
parent = os.getpid()
if os.fork() == 0:
    parent_end.send(signal.SIGKILL, 1 if orphan else parent)
    print(os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
_, status = os.wait()
print(os.WTERMSIG(status), flush=True)
"""


def started(platform: str, kind: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", CODE, platform, kind]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's call is that of Linux")
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_process_ends_with_its_parent(platform: str):
    with started(platform, "child") as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(1)
        assert child.is_running() and parent.poll() is None  # nothing ends it before
        parent.kill()
        deadline = time.monotonic() + 20
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it outlived its parent"
            time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's call is that of Linux")
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_process_whose_parent_has_ended_already_ends_at_once(platform: str):
    with started(platform, "orphan") as parent:
        assert parent.stdout is not None
        assert parent.stdout.read().splitlines()[-1] == "9"
