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


def arithmetic(error: BaseException) -> str | None:
    """What to do where the way of computing that the spec asks for fails, None for any other error."""
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        first = str(error).strip().splitlines()[0]
        return f"torch.compile could not compile the model ({first}): launch it with compile off."
    if isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error):
        operation = str(error).partition(" ")[0]
        return (f"The model uses {operation}, which has no deterministic form on this device: launch it with "
                "deterministic off, or on the CPU.")
    return None


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
