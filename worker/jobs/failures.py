"""Error messages of failed jobs: one sentence for the person who launched them."""

import traceback

import torch

from densitylab.worker.errors import out_of_memory
from densitylab.worker.storable_text import storable

_CHARACTERS = 4000  # of a sentence


class JobFailed(RuntimeError):
    """Raised when a job cannot run; the message says why and what to do."""


def unsupported_computation(error: BaseException) -> str | None:
    """Return advice if compilation or deterministic kernels failed, None for any other error."""
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        first = str(error).strip().splitlines()[0]
        return f"torch.compile could not compile the model ({first}): launch it with compile off."
    if isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error):
        operation = str(error).partition(" ")[0]
        return (
            f"The model uses {operation}, which has no deterministic implementation on this device: launch it with "
            "deterministic off, or on the CPU."
        )
    return None


def of_training(error: Exception, device: torch.device, batch_size: int) -> Exception:
    """Return the error that a training fails with: with advice where there is some."""
    if out_of_memory(error):
        smaller = max(1, batch_size // 2)
        return JobFailed(f"Out of memory on {device}: try batch_size {smaller} (now {batch_size}) or a smaller model.")
    advice = unsupported_computation(error)
    return error if advice is None else JobFailed(advice)


def sentence(error: BaseException) -> str:
    """Return the error as a sentence that can be stored, of at most 4,000 characters: control characters and bytes of
    file names that are not UTF-8 are escaped."""
    return storable(_sentence(error), _CHARACTERS)


def _sentence(error: BaseException) -> str:
    if out_of_memory(error):
        return "Out of memory: try a smaller batch, fewer images or a smaller model."
    if isinstance(error, JobFailed | ArithmeticError | ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def last_lines(error: BaseException, limit: int = 12) -> list[str]:
    """Return the end of the traceback, for the log; none for a JobFailed, whose sentence says it all."""
    if isinstance(error, JobFailed):
        return []
    text = "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode()
    return text.rstrip().splitlines()[-limit:]
