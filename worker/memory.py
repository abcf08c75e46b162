"""How much memory this process has taken at its highest."""

import resource
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


def process_bytes() -> int:
    """Linux counts it from the process's own start; elsewhere `getrusage` knows it, in bytes on macOS."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def device_bytes() -> int | None:
    """Of the GPU, what the allocator reserved; None in a process that has not used one."""
    return torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else None
