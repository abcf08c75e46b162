"""A data set in batches that a model takes, with progress told and stopping asked at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from worker.datasets.dataset import Dataset
from worker.stopped import Stopped

BATCH = 250


def batches(
    model: nn.Module,
    data: Dataset,
    samples: int | None,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """(where in the data set, x in [0, 1] (N, C, H, W), y (N,)) on the model's device, in order.

    Args:
        model: its first parameter says device and floating-point type.
        data: images uint8, or floats in [0, 1].
        samples: only the first so many; None: all.
        progress: told the fraction handed out and worked on.
        should_stop: asked before each batch.

    Raises:
        Stopped: `should_stop()` answered True.
    """
    parameter = next(model.parameters())
    total = len(data) if samples is None else min(samples, len(data))
    for begin in range(0, total, BATCH):
        if should_stop():
            raise Stopped("the evaluation was stopped")
        part = slice(begin, min(begin + BATCH, total))
        images = data.images[part].to(parameter.device)
        x = images.to(parameter.dtype) / (255 if images.dtype == torch.uint8 else 1)
        yield part, x, data.labels[part].to(parameter.device)
        progress(part.stop / total)
