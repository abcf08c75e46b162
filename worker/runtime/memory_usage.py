"""Peak memory of this process."""

import resource
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


def process_bytes() -> int:
    """Return the peak of the resident memory; on Linux since this process's own start, not its parent's."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def device_bytes() -> int | None:
    """Return the peak of the GPU memory that torch's allocator reserved; None if the process has used no GPU."""
    return torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else None
