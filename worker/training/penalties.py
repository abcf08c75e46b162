"""The mean penalty of a model on given images, as the training objective computes it, in float32."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from densitylab.worker.autograd import frozen_running_statistics
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training.batches import as_pixels
from densitylab.worker.training.freezing import train_mode
from densitylab.worker.training.objective import Regularizer, objective

BATCH = 64


def mean_penalty(
    model: torch.nn.Module,
    data: Dataset,
    *,
    regularizer: Regularizer,
    uses: Collection[str],
    generator: torch.Generator,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
) -> float | None:
    """Return the mean of the penalty per image, at the model's present weights.

    The model computes in training mode, as in a training step: batch norm takes the statistics of 64 images, and does
    not update its running ones.

    Args:
        model: gives logits (N, K); it is left in training mode.
        data: at least one image.
        regularizer: penalty per sample, its own parameters bound.
        uses: what it takes by keyword besides, see `objective`.
        generator: the penalty's noise, on the device.
        device: of the model.
        should_stop: asked before each batch.

    Returns:
        The mean; None if `should_stop` ended it.
    """
    train_mode(model)
    total = 0.0
    for start in range(0, len(data), BATCH):
        if should_stop():
            return None
        rows = slice(start, start + BATCH)
        x, y = as_pixels(data.images[rows].to(device)), data.labels[rows].to(device)
        with frozen_running_statistics(model):
            terms = objective(
                model,
                x,
                y,
                regularizer=regularizer,
                lambda_=0.0,
                step=1,
                generator=generator,
                observe=True,
                masks=None if data.masks is None else data.masks[rows].to(device),
                uses=uses,
            )
        assert terms.penalty is not None
        total += float(terms.penalty) * len(y)
    return total / len(data)
