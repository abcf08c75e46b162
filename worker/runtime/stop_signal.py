"""Requests to this process to stop: the parent worker sends SIGUSR1, and jobs ask `requested()`."""

import signal

SIGNAL = signal.SIGUSR1
_requested = False


def install() -> None:
    """Install the signal handler; before the fork, so that a job that is starting does not miss the signal."""
    signal.signal(SIGNAL, lambda _number, _frame: request(True))


def request(stop: bool) -> None:
    """Request a stop from inside the process, or take the request back."""
    global _requested
    _requested = stop


def requested() -> bool:
    """Return whether a stop was requested."""
    return _requested
