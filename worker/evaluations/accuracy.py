"""How many images are classified rightly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from worker.datasets.dataset import Dataset
from worker.evaluations.batches import batches
from worker.evaluations.result import Flag, Result, few_samples, mean_value, proportion


def accuracy(
    model: nn.Module,
    data: Dataset,
    *,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Share of images whose largest logit is that of their label, and the mean of −log softmax_y f(x).

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        generator: not used, since nothing is drawn.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `accuracy` (Wilson) and `cross_entropy` (nats; bootstrap by class, images with a finite one);
        arrays `predicted`, `correct`, `confidence` (of the predicted class) and `cross_entropy`.

    Raises:
        Stopped: `should_stop()` answered True.
    """
    count = len(data)
    predicted = np.zeros(count, np.int64)
    confidence = np.zeros(count)
    cross_entropy = np.zeros(count)
    for part, x, y in batches(model, data, None, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x).double()
        probability = logits.softmax(dim=1)
        predicted[part] = logits.argmax(dim=1).cpu().numpy()
        confidence[part] = probability.amax(dim=1).cpu().numpy()
        cross_entropy[part] = F.cross_entropy(logits, y, reduction="none").cpu().numpy()
    labels = data.labels.cpu().numpy()
    finite = np.isfinite(cross_entropy)
    # logits that are not numbers name no class
    correct = (predicted == labels) & finite
    flags = few_samples(count)
    if not finite.all():
        flags.append(Flag("not_finite", f"{(~finite).sum()} of {count} images have a cross-entropy that is not a "
                          "finite number; they count as wrong, and not in the mean cross-entropy."))
    return Result(
        values={
            "accuracy": proportion(int(correct.sum()), count, higher_is_better=True),
            "cross_entropy": mean_value(cross_entropy[finite], labels[finite], higher_is_better=False),
        },
        flags=flags,
        arrays={
            "predicted": predicted, "correct": correct, "confidence": confidence.astype(np.float32),
            "cross_entropy": cross_entropy.astype(np.float32),
        },
    )
