"""The settings of a training run, as `fit` takes them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from densitylab.worker.lr_schedules.constant import constant
from densitylab.worker.schedules.controller_state import ControllerState
from densitylab.worker.training.cross_entropy import PLAIN, CrossEntropy
from densitylab.worker.training.objective import Regularizer
from densitylab.worker.training.precision import DEFAULT, ComputeConfig
from densitylab.worker.training.robust_share import RobustShare


@dataclass(frozen=True)
class EarlyStop:
    """End a run after `patience` epochs without a better value, and keep the weights of the best epoch."""

    patience: int  # epochs
    metric: str = "validation_cross_entropy"  # lower is better; of any other metric, higher is


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run.

    Args:
        regularizer: (model, x, logits, y, *, generator) -> (N,) penalties.
        uses: what the regularizer takes by keyword besides, see `densitylab.worker.training.objective.objective`.
        monitor: (model, x, y, *, generator) -> metrics by name of validation images, after each epoch; None: nothing.
        every: steps between two applications of the penalty, at least 1.
        lambda_: weight of the penalty, at least 0.
        schedule: (lambda_, step, total_steps, state) -> the λ of that step.
        observes: inputs that the schedule reads from `state`: "cross_entropy", "gradient_norm". Each is measured at
            every step.
        robust_share: how the schedule's input `robust_share` is measured; None: it is not. Needs validation images.
        epochs: passes over the training images, at least 1.
        lr_schedule: (step, total_steps) -> factor of the optimizer's learning rate.
        gradient_clip: largest L2 norm of the loss's gradient by all weights, above 0; a longer gradient is scaled down.
        early_stop: when to end before the last epoch; needs validation images.
        cross_entropy: label smoothing and class weights.
        parts: into which each batch is divided; their gradients are added before the optimizer's step.
        activation_checkpointing: compute activations again in backward passes instead of keeping them.
        compute: precision, deterministic kernels, compilation.
    """

    regularizer: Regularizer
    uses: Collection[str] = ()
    monitor: Callable[..., dict[str, float]] | None = None
    every: int = 1
    lambda_: float
    schedule: Callable[[float, int, int, ControllerState], float]
    observes: Collection[str] = ()
    robust_share: RobustShare | None = None
    epochs: int
    lr_schedule: Callable[[int, int], float] = constant
    gradient_clip: float | None = None
    early_stop: EarlyStop | None = None
    cross_entropy: CrossEntropy = PLAIN
    parts: int = 1
    activation_checkpointing: bool = False
    compute: ComputeConfig = DEFAULT
