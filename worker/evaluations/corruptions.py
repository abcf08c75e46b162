"""Accuracy on published corrupted test images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.corrupted import CORRUPTIONS, SEVERITIES, Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Curve, Result, Value, at_chance, few_samples, mean_value, resampled
from densitylab.worker.evaluations.subset import draw_indices, draw_subset


def corruptions(
    model: nn.Module,
    data: Dataset,
    *,
    samples: int | None = 1000,
    reference: nn.Module | None = None,
    corruptions: Corrupted,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the accuracy under fifteen corruptions at five severities, and the mean corruption error.

    Hendrycks, Dietterich 2019. With E(c, s) the error under corruption c at severity s, CE(c) = Σ_s E(c, s) / 5, or
    with a reference model Σ_s E(c, s) / Σ_s E_ref(c, s), and mCE = Σ_c CE(c) / 15. For CIFAR the paper gives mCE
    without a reference, which is 1 − the mean accuracy.

    Args:
        model: gives logits (N, K), in eval mode.
        data: the clean test images.
        samples: number of images of each corruption and severity, see `draw_indices`; None: all.
        reference: another run's model, on the same device; None: errors are not divided.
        corruptions: the corrupted images.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `mean` (accuracy over all corruptions and severities), one per corruption by its name (over severities),
        `mce`, and `clean` on as many clean images; curve `accuracy` over the severity from 0, clean, and one per
        corruption from 1. Intervals resample images by class, since the versions of one image are not independent;
        n is the number of images. Arrays, where the corrupted images are the test images in their order: `robust`, the
        share of an image's 75 versions that are classified correctly, and one per corruption, of its 5; `{name}_at`
        (N, 5), whether they are; `clean`; and `reference` (N, 15), the reference model's shares.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    drawn, clean_indices = draw_indices(corruptions.labels, None, samples), draw_subset(data, samples)
    labels, clean_labels = corruptions.labels[drawn], data.labels[clean_indices].cpu().numpy()
    passes = len(CORRUPTIONS) * len(SEVERITIES) * (1 if reference is None else 2) + 1
    done = 0

    def correct(network: nn.Module, images: Dataset, indices: np.ndarray | None = None) -> np.ndarray:
        """Return (N,) bool, of one of the passes."""
        nonlocal done
        parts = []
        for _, x, y in batches(
            network, images, indices, progress=lambda share: progress((done + share) / passes), should_stop=should_stop
        ):
            with torch.no_grad():
                parts.append((network(x).argmax(dim=1) == y).cpu().numpy())
        done += 1
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    def corrupted(network: nn.Module, name: str) -> np.ndarray:
        """Return (N, 5) bool."""
        return np.stack([correct(network, corruptions.load(name, level, drawn)) for level in SEVERITIES], axis=1)

    clean = correct(model, data, clean_indices)
    right = np.stack([corrupted(model, name) for name in CORRUPTIONS], axis=1)  # (N, 15, 5)
    theirs = None if reference is None else np.stack([corrupted(reference, name) for name in CORRUPTIONS], axis=1)

    def error(rows: np.ndarray) -> np.ndarray:
        """Return (r,) mean corruption errors of resampled images."""
        own = 1 - right.mean(axis=2)[rows].mean(axis=1)
        if theirs is None:
            return own.mean(axis=1)
        return (own / (1 - theirs.mean(axis=2)[rows].mean(axis=1))).mean(axis=1)

    def mean(numbers: np.ndarray) -> Value:
        return mean_value(numbers, labels, higher_is_better=True)

    of_clean = mean_value(clean.astype(float), clean_labels, higher_is_better=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # a reference without an error
        values = {
            "mean": mean(right.mean(axis=(1, 2))),
            "mce": resampled(error, labels, higher_is_better=False),
            "clean": of_clean,
            **{name: mean(right[:, index].mean(axis=1)) for index, name in enumerate(CORRUPTIONS)},
        }
    by_severity = [mean(right[:, :, level].mean(axis=1)) for level in range(len(SEVERITIES))]
    curves = {
        "accuracy": _curve((0, *SEVERITIES), [of_clean, *by_severity]),
        **{
            name: _curve(SEVERITIES, [mean(right[:, index, level].astype(float)) for level in range(len(SEVERITIES))])
            for index, name in enumerate(CORRUPTIONS)
        },
    }
    arrays: dict[str, np.ndarray] = {}
    if np.array_equal(corruptions.labels, data.labels.cpu().numpy()):
        arrays["indices"] = drawn
        arrays["robust"] = right.mean(axis=(1, 2)).astype(np.float32)
        arrays |= {name: right[:, index].mean(axis=1).astype(np.float32) for index, name in enumerate(CORRUPTIONS)}
        arrays |= {f"{name}_at": right[:, index] for index, name in enumerate(CORRUPTIONS)}
        arrays["clean"] = clean
        if theirs is not None:
            arrays["reference"] = theirs.mean(axis=2).astype(np.float32)
    classes = 1 + int(max(labels.max(initial=0), clean_labels.max(initial=0)))
    return Result(values, curves, few_samples(len(labels), len(corruptions.labels)) + at_chance(clean, classes), arrays)


def _curve(x: tuple[int, ...], values: list[Value]) -> Curve:
    return Curve(
        x=[float(level) for level in x],
        y=[value.value for value in values],
        low=[value.low for value in values],
        high=[value.high for value in values],
        x_label="severity",
        y_label="accuracy",
    )
