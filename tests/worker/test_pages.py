"""Memory in huge pages, before the forks."""

import mmap
import os
import re
from pathlib import Path

import pytest

from worker import pages

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = pytest.mark.skipif(not THP.exists(), reason="the kernel has no huge pages")


def _huge_bytes() -> int:
    return int(re.search(r"AnonHugePages:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())[1]) * 1024


def test_memory_is_moved_into_huge_pages_and_stays_what_it_was():
    pattern = os.urandom(4096)
    block = mmap.mmap(-1, 16 * pages.HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.write(pattern * (len(block) // len(pattern)))
    before = _huge_bytes()
    made = pages.collapse()
    assert made >= 15  # the block need not begin where a huge page does
    assert _huge_bytes() - before >= 15 * pages.HUGE
    assert block[:] == pattern * (len(block) // len(pattern))
    block.close()
