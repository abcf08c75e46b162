"""Whether this process was told to stop: the worker's parent sends SIGUSR1, jobs ask."""

import signal

TOLD_BY = signal.SIGUSR1
_told = False


def listen() -> None:
    """Installs the handler. Done before the fork, so that a job hears what is said while it starts."""
    signal.signal(TOLD_BY, lambda _number, _frame: tell(True))


def tell(stop: bool) -> None:
    """Says so from inside the process."""
    global _told
    _told = stop


def told() -> bool:
    return _told
