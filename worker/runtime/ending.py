"""When a worker ends by itself, as jobs of a cluster should."""

import os
import signal
import threading
import time
from dataclasses import dataclass

IDLE_SECONDS = 60


@dataclass(frozen=True)
class Ending:
    """When a worker ends by itself; without arguments never.

    Once it takes no more runs (`max_runs` were taken, or the next one would not end before `until`), it still executes
    evaluations, and ends when it has had no work for `idle_seconds`.
    """

    when_idle: bool = False  # end without work for `idle_seconds`
    idle_seconds: int = IDLE_SECONDS
    until: float | None = None  # seconds since the epoch
    max_runs: int | None = None  # trainings, also those that are handed back

    def fits(self, seconds: float | None) -> bool:
        """Return whether work that takes so long ends before `until`; None: not known, so it is tried."""
        return self.until is None or seconds is None or time.time() + seconds <= self.until


def terminate_at(at: float) -> None:
    """Send this process SIGTERM at a time, in seconds since the epoch.

    It ends with exit code 0 if its worker has not started by then, and so has no work to hand back.
    """
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    seconds = min(max(0.0, at - time.time()), threading.TIMEOUT_MAX)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
