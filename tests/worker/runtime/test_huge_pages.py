"""Huge pages, before the fork."""

import mmap
import os
import re
from pathlib import Path

import pytest

from densitylab.worker.runtime import huge_pages

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = pytest.mark.skipif(not THP.exists(), reason="the kernel has no huge pages")


def _huge_bytes() -> int:
    return int(re.search(r"AnonHugePages:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())[1]) * 1024


def test_memory_is_moved_into_huge_pages_with_the_same_content():
    pattern = os.urandom(4096)
    block = mmap.mmap(-1, 16 * huge_pages.HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.write(pattern * (len(block) // len(pattern)))
    before = _huge_bytes()
    made = huge_pages.collapse()
    assert made >= 15  # the block need not be aligned to huge pages
    assert _huge_bytes() - before >= 15 * huge_pages.HUGE
    assert block[:] == pattern * (len(block) // len(pattern))
    block.close()
