"""Memory of a process, measured in a process of its own: this one may have used more before."""

import subprocess
import sys


def printed_by(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_the_peak_grows_with_an_allocation():
    grown = int(
        printed_by(
            "from densitylab.worker.runtime import memory_usage; before = memory_usage.process_bytes(); "
            "kept = b'x' * 300_000_000; print(memory_usage.process_bytes() - before)"
        )
    )
    assert 200_000_000 < grown < 400_000_000


def test_a_process_without_gpu_work_has_no_gpu_memory():
    code = "from densitylab.worker.runtime import memory_usage; print(memory_usage.device_bytes())"
    assert printed_by(code) == "None"
