"""Errors that several parts of the worker share."""

import torch


class Interrupted(Exception):
    """Raised when a task is asked to stop, by `should_stop()`; no partial result is left behind."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether the error is a lack of memory, on a GPU or in the process."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's allocator for the CPU raises a plain RuntimeError
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
