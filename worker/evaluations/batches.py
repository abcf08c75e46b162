"""Batches of a data set for a model, with progress reports and checks for a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted

BATCH = 250


def batches(
    model: nn.Module,
    data: Dataset,
    samples: int | None,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (slice of the data set, x (N, C, H, W) in [0, 1], y (N,)) on the model's device, in order.

    Args:
        model: its first parameter determines device and dtype.
        data: images uint8, or floats in [0, 1].
        samples: number of images, the first ones; None: all.
        progress: called with the fraction of finished batches.
        should_stop: asked before each batch.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    parameter = next(model.parameters())
    total = len(data) if samples is None else min(samples, len(data))
    for begin in range(0, total, BATCH):
        if should_stop():
            raise Interrupted("the evaluation was stopped")
        part = slice(begin, min(begin + BATCH, total))
        images = data.images[part].to(parameter.device)
        x = images.to(parameter.dtype) / (255 if images.dtype == torch.uint8 else 1)
        yield part, x, data.labels[part].to(parameter.device)
        progress(part.stop / total)
