"""The inputs of schedules that control λ by feedback. They are part of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

KEEP = 0.9  # weight of the old value in a running mean


@dataclass(frozen=True)
class ControllerState:
    """Running means over the steps so far; None before the first step or if not observed.

    A running mean is m ← 0.9 m + 0.1 value.
    """

    lambda_: float | None = None  # of the last step
    cross_entropy: float | None = None  # running mean of the batches' cross-entropy
    lowest_cross_entropy: float | None = None  # the minimum of this running mean so far
    squared_gradient_norm: float | None = None  # running mean of the batches' mean ‖∇ log p(x)‖₂²
    robust_share: float | None = None  # no running mean: as measured after the last step; None: it was not

    def after(
        self, lambda_: float, *, cross_entropy: float | None = None, squared_gradient_norm: float | None = None
    ) -> ControllerState:
        """Return the state after one more step, with λ = `lambda_`."""
        mean = _running(self.cross_entropy, cross_entropy)
        lowest = min((value for value in (self.lowest_cross_entropy, mean) if value is not None), default=None)
        return ControllerState(lambda_, mean, lowest, _running(self.squared_gradient_norm, squared_gradient_norm))


def _running(mean: float | None, value: float | None) -> float | None:
    if mean is None or value is None:
        return value if mean is None else mean
    return KEEP * mean + (1 - KEEP) * value
