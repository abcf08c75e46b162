"""The time that a training still takes, by its own steps so far."""

import time

_LEAST_SECONDS = 1.0  # of steps: the mean of fewer jumps


class StepPace:
    """Measures the mean time of a step, with the validations between steps.

    The first step of an attempt is left out: it allocates memory and may compile the network, which takes up to
    hundreds of times as long as a step.
    """

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def seconds_left(self, step: int, total_steps: int) -> float | None:
        """Note that a step has ended; return the seconds until the last one, None within the first second."""
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
            return None
        first, began = self._first
        if now - began < _LEAST_SECONDS and step < total_steps:
            return None
        return (now - began) / (step - first) * (total_steps - step)
