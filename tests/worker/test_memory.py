"""The memory that a process tells of itself."""

import subprocess
import sys

from worker import memory


def test_memory_grows_with_what_is_held():
    # In a process of its own: this one may have held more before
    code = ("from worker import memory; before = memory.process_bytes(); kept = b'x' * 300_000_000; "
            "print(memory.process_bytes() - before)")
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert 200_000_000 < grown < 400_000_000


def test_a_process_that_uses_no_gpu_tells_none():
    assert memory.device_bytes() is None
