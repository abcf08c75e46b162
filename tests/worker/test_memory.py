"""The memory that a process tells of itself, in processes of their own: this one may have held more before."""

import subprocess
import sys


def said(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_memory_grows_with_what_is_held():
    grown = int(said("from worker import memory; before = memory.process_bytes(); kept = b'x' * 300_000_000; "
                     "print(memory.process_bytes() - before)"))
    assert 200_000_000 < grown < 400_000_000


def test_a_process_that_uses_no_gpu_tells_none():
    assert said("from worker import memory; print(memory.device_bytes())") == "None"
