"""The end of an epoch: metrics of the validation images, and the best weights so far."""

from __future__ import annotations

from collections.abc import Callable

import torch

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import seeds
from densitylab.worker.training.batches import as_pixels
from densitylab.worker.training.config import EarlyStop, TrainingConfig
from densitylab.worker.training.freezing import train_mode
from densitylab.worker.training.state import Best, TrainingState
from densitylab.worker.training.validation import EVALUATION_BATCH, validation_metrics

_Autocast = Callable[[], torch.autocast]


def end_epoch(
    state: TrainingState, config: TrainingConfig, validation: Dataset, epoch: int, autocast: _Autocast
) -> dict[str, float]:
    """Return the metrics of the model to evaluate, and those of the regularizer's monitor; with early stopping keep the
    weights if they are the best. The trained model returns to training mode."""
    values = validation_metrics(state.evaluated, validation, state.device, autocast)
    train_mode(state.model)
    if config.monitor is not None:
        values |= _monitor(state, validation, config.monitor, autocast)
    if config.early_stop is not None and state.first is None:
        _keep_best(state, epoch, values[config.early_stop.metric], config.early_stop)
    return values


def stops_early(state: TrainingState, early_stop: EarlyStop | None, steps_per_epoch: int) -> bool:
    """Return whether `patience` epochs are done since the best one."""
    if early_stop is None or state.best is None:
        return False
    return state.step // steps_per_epoch - state.best.epoch >= early_stop.patience


def _monitor(
    state: TrainingState, data: Dataset, measure: Callable[..., dict[str, float]], autocast: _Autocast
) -> dict[str, float]:
    """Return the metrics of the regularizer's monitor on the first validation images, with the same draws."""
    model, device = state.evaluated, state.device
    generator = torch.Generator(device).manual_seed(seeds.derive_seed(state.seed, seeds.MONITOR, 0))
    x = as_pixels(data.images[:EVALUATION_BATCH].to(device))
    y = data.labels[:EVALUATION_BATCH].to(device)
    with autocast():
        return measure(model, x, y, generator=generator)


def _keep_best(state: TrainingState, epoch: int, value: float, early_stop: EarlyStop) -> None:
    if state.best is not None:
        best = state.best.value
        better = value < best if early_stop.metric == "validation_cross_entropy" else value > best
        if not better:
            return
    weights = {name: tensor.detach().clone() for name, tensor in state.evaluated.state_dict().items()}
    state.best = Best(epoch, value, weights)
