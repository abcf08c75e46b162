"""Batches of a data set for a model, with progress reports and checks for a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted

BATCH = 250


def batches(
    model: nn.Module,
    data: Dataset,
    indices: np.ndarray | None,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (slice of the indices, x (N, C, H, W) in [0, 1], y (N,)) on the model's device, in order.

    Args:
        model: its first parameter determines device and dtype.
        data: images uint8, or floats in [0, 1].
        indices: of the images in the data set, see `draw_subset`; None: all.
        progress: called with the fraction of finished batches.
        should_stop: asked before each batch.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    parameter = next(model.parameters())
    total = len(data) if indices is None else len(indices)
    for begin in range(0, total, BATCH):
        if should_stop():
            raise Interrupted("the evaluation was stopped")
        part = slice(begin, min(begin + BATCH, total))
        rows = part if indices is None else torch.from_numpy(indices[part])
        images = data.images[rows].to(parameter.device)
        x = images.to(parameter.dtype) / (255 if images.dtype == torch.uint8 else 1)
        yield part, x, data.labels[rows].to(parameter.device)
        progress(part.stop / total)
