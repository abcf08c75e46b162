"""Pixel perturbation: accuracy and confidence as pixels are removed in the order of an attribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Curve, Result, Value, at_chance, few_samples, mean_value, proportion
from densitylab.worker.evaluations.subset import draw_subset

ORDERS = ("most_first", "least_first")


def pixel_perturbation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    ranking: str = "absolute",
    fill: str = "zero",
    fractions: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    samples: int | None = 1000,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return accuracy and probability of the originally predicted class as pixels are removed.

    Pixels are removed most important first, where a low area is good, and least important first, where a high one is
    (Samek et al. 2017; Petsiuk, Das, Saenko 2018). The importance of a pixel is the attribution of the predicted class,
    summed over the channels. Ties are in the order of the image, so with a map of zeros removal starts at the top left.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x.
        ranking: "signed" (Σ a) or "absolute" (Σ |a|).
        fill: value of a removed pixel: "zero" (black), "mean" (of the image, by channel) or "blur" (of the image,
            by a Gaussian with σ = an eighth of its shorter side).
        fractions: of removed pixels, in (0, 1]; 0, the whole image, is added.
        samples: number of images, see `draw_subset`; None: all.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each order `most_first` and `least_first`: values `{order}_accuracy` and `{order}_probability`, the areas
        under the curves of the same names over the fractions, by the trapezoid rule, divided by the largest fraction
        (bootstrap by class); arrays of the same names, per image.

    Raises:
        ValueError: a fraction, the ranking or the fill is outside its range.
        Interrupted: `should_stop()` returned True.
    """
    shares = sorted({0.0, *map(float, fractions)})
    if len(shares) < 2 or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"expected fractions in (0, 1], got {list(fractions)}")
    if ranking not in ("signed", "absolute") or fill not in FILLS:
        raise ValueError(
            f"expected ranking 'signed' or 'absolute' and fill of {', '.join(FILLS)}, got {ranking!r} and {fill!r}"
        )
    correct: dict[str, list[np.ndarray]] = {order: [] for order in ORDERS}
    probabilities: dict[str, list[np.ndarray]] = {order: [] for order in ORDERS}
    indices, classes = draw_subset(data, samples), 1
    for _, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x)
            target, classes = logits.argmax(dim=1), logits.shape[1]
        attributions = attribution(model, x, target)
        importance = (attributions.abs() if ranking == "absolute" else attributions).sum(dim=1).flatten(1)
        filled = FILLS[fill](x)
        for order in ORDERS:
            sequence = importance.argsort(dim=1, descending=order == "most_first", stable=True)
            rank = sequence.argsort(dim=1)  # of each pixel
            hit, probability = [], []
            for share in shares:
                removed = (rank < round(share * rank.shape[1])).view(len(x), 1, *x.shape[2:])
                with torch.no_grad():
                    logits = model(torch.where(removed, filled, x)).double()
                hit.append((logits.argmax(dim=1) == y).cpu().numpy())
                probability.append(logits.softmax(dim=1).gather(1, target[:, None]).squeeze(1).cpu().numpy())
            correct[order].append(np.array(hit))
            probabilities[order].append(np.array(probability))
    values: dict[str, Value] = {}
    curves: dict[str, Curve] = {}
    arrays: dict[str, np.ndarray] = {"indices": indices}
    hits = {order: np.concatenate(parts, axis=1) for order, parts in correct.items()}
    labels = data.labels[indices].cpu().numpy()
    for order in ORDERS:
        better = order == "least_first"
        for metric, at_share in (
            ("accuracy", hits[order]),
            ("probability", np.concatenate(probabilities[order], axis=1)),
        ):
            name = f"{order}_{metric}"
            area = np.trapezoid(at_share.astype(float), shares, axis=0) / shares[-1]
            points = [_point(row, labels) for row in at_share]
            values[name] = mean_value(area, labels, higher_is_better=better)
            arrays[name] = area.astype(np.float32)
            curves[name] = Curve(
                shares,
                [point.value for point in points],
                [point.low for point in points],
                [point.high for point in points],
                "share of pixels removed",
                metric,
            )
    flags = few_samples(len(labels)) + at_chance(hits["most_first"][0], classes)
    return Result(values, curves, flags, arrays)


def _point(row: np.ndarray, labels: np.ndarray) -> Value:
    """Return a proportion of booleans (Wilson), or a mean of probabilities (bootstrap)."""
    if row.dtype == bool:
        return proportion(int(row.sum()), len(row), higher_is_better=None)
    return mean_value(row, labels, higher_is_better=None)


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True).expand_as(x)


def _blur(x: Tensor) -> Tensor:
    """Blur with a separable Gaussian of three standard deviations, with replicated borders."""
    sigma = min(x.shape[2:]) / 8
    reach = math.ceil(3 * sigma)
    distance = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-(distance**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


FILLS: dict[str, Callable[[Tensor], Tensor]] = {"zero": torch.zeros_like, "mean": _mean, "blur": _blur}
