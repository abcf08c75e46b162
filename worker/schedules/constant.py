"""Constant λ."""

from __future__ import annotations

from densitylab.worker.schedules.controller_state import ControllerState


def constant(lambda_: float, step: int, total_steps: int, state: ControllerState) -> float:
    """Return `lambda_` at every `step` (1 to `total_steps`)."""
    return lambda_
