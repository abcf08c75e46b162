"""Why a job failed, in one sentence for the person who launched it."""

import errno
import traceback

import torch


class JobFailed(RuntimeError):
    """The job cannot be done; the message says why and what to do."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a GPU or in the process."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's allocator for the CPU raises a plain RuntimeError
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def sentence(error: BaseException) -> str:
    """The error in words."""
    if out_of_memory(error):
        return "Out of memory: try a smaller batch, fewer images or a smaller model."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk is full ({error.strerror}): free some space, then retry."
    if isinstance(error, JobFailed | ArithmeticError | ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def last_lines(error: BaseException, limit: int = 12) -> list[str]:
    """The end of the traceback, for the log."""
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return lines[-limit:]
