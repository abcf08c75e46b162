"""Pixel perturbation: accuracy and confidence as pixels are removed in the order of an attribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.fills import FILLS
from densitylab.worker.evaluations.result import (
    Curve,
    Flag,
    Result,
    Value,
    at_chance,
    few_samples,
    mean_value,
    proportion,
)
from densitylab.worker.evaluations.subset import draw_subset

ORDERS = {"most_first": False, "least_first": True, "random": None}  # with whether a high area is good
METRICS = ("accuracy", "probability", "relative_probability")
LEVEL = 1 / 255  # between two values of a pixel
UNCHANGED = 0.1  # share of the pixels that a fill may leave as they are without a flag


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
    (Samek et al. 2017; Petsiuk, Das, Saenko 2018), and in random order, which shows what the removal alone does. The
    importance of a pixel is the attribution of the predicted class, summed over the channels. Ties are in the order of
    the image, so with a map of zeros removal starts at the top left. A less confident model has smaller areas of the
    probability in any order, so they are also given relative to the probability of the whole image.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x.
        ranking: "signed" (Σ a) or "absolute" (Σ |a|).
        fill: value of a removed pixel: "zero" (black), "mean" (of the image, by channel), "retained_mean" (of the
            pixels that are left, by channel), "blur" (of the image, see `fills`) or "noise" (uniform in [0, 1], the
            same for every image).
        fractions: of removed pixels, in (0, 1]; 0, the whole image, is added.
        samples: number of images, see `draw_subset`; None: all.
        generator: draws the random orders, one for each image, and the noise.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each order `most_first`, `least_first` and `random`: values `{order}_accuracy`, `{order}_probability` and
        `{order}_relative_probability`, the areas under the curves of the same names over the fractions, by the
        trapezoid rule, divided by the largest fraction (bootstrap by class); values `difference_{metric}`, least first
        − most first of each image; value `unchanged_pixels`, the share of pixels that the fill leaves as they are.
        Arrays of the same names, per image, and `{order}_correct` and `{order}_probability_at` (N, F), at the fractions
        from 0. A flag says if more than a tenth of the pixels stay as they are.

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
    indices, classes = draw_subset(data, samples), 1
    columns: dict[str, list[np.ndarray]] = {}

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device)

    noise = uniform(*data.images.shape[1:])
    for _, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x)
            target, classes = logits.argmax(dim=1), logits.shape[1]
        attributions = attribution(model, x, target)
        importance = (attributions.abs() if ranking == "absolute" else attributions).sum(dim=1).flatten(1)
        random = uniform(*importance.shape).to(x.device)
        keys = {"most_first": (importance, True), "least_first": (importance, False), "random": (random, False)}
        everything = torch.ones_like(x[:, :1], dtype=torch.bool)
        same = ((FILLS[fill](x, everything, noise.to(x.device)) - x).abs() < LEVEL / 2).all(dim=1)
        columns.setdefault("unchanged_pixels", []).append(same.flatten(1).double().mean(dim=1).cpu().numpy())
        for order, (key, descending) in keys.items():
            rank = key.argsort(dim=1, descending=descending, stable=True).argsort(dim=1)  # of each pixel
            correct, probability = [], []
            for share in shares:
                removed = (rank < round(share * rank.shape[1])).view(len(x), 1, *x.shape[2:])
                with torch.no_grad():
                    logits = model(torch.where(removed, FILLS[fill](x, removed, noise.to(x.device)), x)).double()
                correct.append(logits.argmax(dim=1) == y)
                probability.append(logits.softmax(dim=1).gather(1, target[:, None]).squeeze(1))
            for name, part in ((f"{order}_correct", correct), (f"{order}_probability_at", probability)):
                columns.setdefault(name, []).append(torch.stack(part, dim=1).cpu().numpy())
    at_shares = {name: np.concatenate(parts) for name, parts in columns.items()}
    unchanged = at_shares.pop("unchanged_pixels")
    labels = data.labels[indices].cpu().numpy()
    values: dict[str, Value] = {}
    curves: dict[str, Curve] = {}
    arrays: dict[str, np.ndarray] = {"indices": indices}
    for metric in METRICS:
        areas = {}
        for order, better in ORDERS.items():
            name = f"{order}_{metric}"
            curve = at_shares[f"{order}_correct" if metric == "accuracy" else f"{order}_probability_at"]
            if metric == "relative_probability":
                curve = curve / curve[:, :1]
            areas[order] = np.trapezoid(curve.astype(float), shares, axis=1) / shares[-1]
            values[name], arrays[name] = mean_value(areas[order], labels, higher_is_better=better), areas[order]
            points = [_point(column, labels) for column in curve.T]
            curves[name] = Curve(
                shares,
                [point.value for point in points],
                [point.low for point in points],
                [point.high for point in points],
                "share of pixels removed",
                metric.replace("_", " "),
            )
        arrays[f"difference_{metric}"] = areas["least_first"] - areas["most_first"]
        values[f"difference_{metric}"] = mean_value(arrays[f"difference_{metric}"], labels, higher_is_better=True)
    values["unchanged_pixels"] = mean_value(unchanged, labels, higher_is_better=None)
    arrays["unchanged_pixels"] = unchanged
    flags = [*few_samples(len(labels), len(data)), *at_chance(at_shares["most_first_correct"][:, 0], classes)]
    return Result(
        values,
        curves,
        flags + _without_effect(float(unchanged.mean()), fill),
        {
            name: array if array.dtype.kind in "bi" else array.astype(np.float32)
            for name, array in (arrays | at_shares).items()
        },
    )


def _point(column: np.ndarray, labels: np.ndarray) -> Value:
    """Return a proportion of booleans (Wilson), or a mean of probabilities (bootstrap)."""
    if column.dtype == bool:
        return proportion(int(column.sum()), len(column), higher_is_better=None)
    return mean_value(column, labels, higher_is_better=None)


def _without_effect(unchanged: float, fill: str) -> list[Flag]:
    if unchanged <= UNCHANGED:
        return []
    return [
        Flag(
            "fill_changes_nothing",
            f"{unchanged:.0%} of the pixels already have the value of the fill {fill!r}: removing them does nothing, "
            "and the curves are flat there whatever the map is. Next: compare with another fill, such as the mean of "
            "the retained pixels or noise.",
        )
    ]
