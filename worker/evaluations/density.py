"""Histograms of log p(x) and of the norm of its gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.density_scores import density_scores
from densitylab.worker.evaluations.histogram import histograms
from densitylab.worker.evaluations.ood_data import noise_like, other_data
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value
from densitylab.worker.evaluations.subset import draw_subset


def density(
    model: nn.Module,
    data: Dataset,
    *,
    train_data: Callable[[], Dataset],
    against: Callable[[str], Dataset] | None = None,
    resize: str | None = None,
    samples: int | None = 1000,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return histograms of log p(x) + log Z = logsumexp f(x) and of ‖∇ₓ log p(x)‖₂.

    They are of training and test images, noise and another data set. Each model has its own log Z, so histograms of
    log p are comparable only within one model, those of its gradient also between models.

    Args:
        model: gives logits (N, K), in eval mode.
        data: the test images.
        train_data: gives the training images.
        against: split -> images of another data set; None: none.
        resize: see `other_data`.
        samples: number of images of each set, see `draw_subset`; None: all.
        generator: draws the noise, uniform in [0, 1].
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each set `train`, `test`, `noise` and, if given, `other`: values and curves (histograms)
        `log_density_{set}` and `gradient_norm_{set}`; arrays `log_density` and `gradient_norm` of the test images, and
        `{set}/log_density` and `{set}/gradient_norm` of the others.

    Raises:
        ValueError: shapes differ and `resize` is None.
        Interrupted: `should_stop()` returned True.
    """
    indices, train = draw_subset(data, samples), train_data()
    count = len(indices)
    sets: dict[str, tuple[Dataset, np.ndarray | None]] = {
        "train": (train, draw_subset(train, samples)),
        "test": (data, indices),
        "noise": (noise_like(data, "uniform", count, generator), None),
    }
    if against is not None:
        sets["other"] = (other_data(against, data, resize, samples), None)
    log_density: dict[str, np.ndarray] = {}
    gradient_norm: dict[str, np.ndarray] = {}
    for number, (name, (images, chosen)) in enumerate(sets.items()):

        def report(share: float, number: int = number) -> None:
            progress((number + share) / len(sets))

        scores = density_scores(model, images, chosen, progress=report, should_stop=should_stop)
        log_density[name], gradient_norm[name] = scores["energy"], scores["gradient_norm"]
    values, curves = {}, {}
    for quantity, label, scores_of in (
        ("log_density", "log p(x) + log Z", log_density),
        ("gradient_norm", "‖∇ log p(x)‖₂", gradient_norm),
    ):
        drawn = histograms(list(scores_of.values()), label)
        for (name, numbers), curve in zip(scores_of.items(), drawn, strict=True):
            finite = numbers[np.isfinite(numbers)]
            values[f"{quantity}_{name}"] = mean_value(finite, np.zeros(len(finite)), higher_is_better=None)
            curves[f"{quantity}_{name}"] = curve
    fewest = min(map(len, log_density.values()))
    flags = few_samples(fewest, len(data) if fewest == samples else fewest, of="of the smallest set")
    flat = int((gradient_norm["test"] == 0).sum())
    if flat > 0:
        flags.append(
            Flag(
                "zero_gradient",
                f"∇ log p(x) is exactly zero on {flat} of {count} test images: the model is "
                "saturated or constant there. Next: check its logits, and the gradient norms during training.",
            )
        )
    return Result(
        values,
        curves,
        flags,
        {
            "indices": indices,
            "log_density": log_density["test"],
            "gradient_norm": gradient_norm["test"],
            **{
                f"{name}/{quantity}": scores_of[name]
                for quantity, scores_of in (("log_density", log_density), ("gradient_norm", gradient_norm))
                for name in sets
                if name != "test"
            },
        },
    )
