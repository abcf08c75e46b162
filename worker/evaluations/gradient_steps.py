"""Evaluate one step up and down a gradient: the changes of prediction, log p(x) and attribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.random_map import random_map
from densitylab.worker.evaluations.result import Curve, Flag, Result, Value, few_samples, mean_value, proportion
from densitylab.worker.evaluations.similarity import cosine
from densitylab.worker.evaluations.subset import draw_subset
from densitylab.worker.perturbations.gradient_step import along, direction

Attribution = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
SIDES = {"up": 1.0, "down": -1.0}


def input_gradient_perturbation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Attribution,
    epsilons: Sequence[float] = (1.0, 0.25, 0.5, 2.0),
    samples: int | None = 1000,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Evaluate x ± epsilon · g/‖g‖₂ in [0, 1], with g = ∇ₓ f of the class predicted for x; one step.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x; the target is the prediction for x in both cases.
        epsilons: at least one; the headline is at the first. L2 lengths in [0, 1] pixel units.
        samples: number of images, see `draw_subset`; None: all.
        fresh_model: gives the same network with random weights, on the same device, in eval mode.
        generator: draws the random maps.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for `up` (+) and `down` (−), values at the first epsilon and curves over 0 and all epsilons: `{side}_changed`,
        the share of images whose prediction changed (Wilson); `{side}_log_density`, the mean change of log p(x);
        `{side}_attribution`, the mean cosine between the attributions of both images if neither is zero (bootstrap).
        Its controls do not depend on side and epsilon: `attribution_random_map`, the cosine between the attribution of
        x and a random map (independent normal numbers, non-negative where the attribution has no negative ones), and
        `attribution_random_weights`, that between it and the fresh model's attribution of x. Arrays of the same names
        (N, E), at 0 and all epsilons, of the controls (N,), and `{side}_changed_at`: per image the smallest epsilon
        that changed its prediction, inf if none did. Images with g = 0 do not change; a flag gives their number.

    Raises:
        ValueError: no epsilon.
        Interrupted: `should_stop()` returned True.
    """

    def gradient(x: Tensor) -> Tensor:
        with torch.no_grad():
            predicted = model(x).argmax(dim=1, keepdim=True)
        return direction(lambda inputs: model(inputs).gather(1, predicted).squeeze(1), x)

    return _evaluate(
        gradient, model, data, attribution, epsilons, samples, fresh_model(), generator, progress, should_stop
    )


def density_perturbation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Attribution,
    epsilons: Sequence[float] = (1.0, 0.25, 0.5, 2.0),
    samples: int | None = 1000,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Evaluate as `input_gradient_perturbation` does, with g = ∇ₓ log p(x)."""

    def gradient(x: Tensor) -> Tensor:
        return direction(lambda inputs: model(inputs).logsumexp(dim=1), x)

    return _evaluate(
        gradient, model, data, attribution, epsilons, samples, fresh_model(), generator, progress, should_stop
    )


def _evaluate(
    gradient: Callable[[Tensor], Tensor],
    model: nn.Module,
    data: Dataset,
    attribution: Attribution,
    epsilons: Sequence[float],
    samples: int | None,
    untrained: nn.Module,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    if len(epsilons) == 0:
        raise ValueError("expected at least one epsilon, got none")
    ascending = sorted({0.0, *map(float, epsilons)})
    indices = draw_subset(data, samples)
    columns: dict[str, list[np.ndarray]] = {
        f"{side}_{metric}": [] for side in SIDES for metric in ("changed", "log_density", "attribution")
    }
    controls: dict[str, list[np.ndarray]] = {"attribution_random_map": [], "attribution_random_weights": []}
    stuck = 0
    for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x).double()
        predicted, log_density = logits.argmax(dim=1), logits.logsumexp(dim=1)
        clean, unit = attribution(model, x, predicted), gradient(x)
        controls["attribution_random_map"].append(cosine(clean, random_map(clean, generator)).cpu().numpy())
        controls["attribution_random_weights"].append(cosine(clean, attribution(untrained, x, predicted)).cpu().numpy())
        stuck += int((unit == 0).flatten(1).all(dim=1).sum())
        for side, sign in SIDES.items():
            changes: dict[str, list[Tensor]] = {"changed": [], "log_density": [], "attribution": []}
            for epsilon in ascending:
                moved = along(x, unit, sign * epsilon)
                with torch.no_grad():
                    after = model(moved).double()
                changes["changed"].append(after.argmax(dim=1) != predicted)
                changes["log_density"].append(after.logsumexp(dim=1) - log_density)
                changes["attribution"].append(cosine(clean, attribution(model, moved, predicted)))
            for metric, parts in changes.items():
                columns[f"{side}_{metric}"].append(torch.stack(parts).cpu().numpy())
    rows_by_name = {name: np.concatenate(parts, axis=1) for name, parts in columns.items()}
    count = len(indices)
    labels = data.labels[indices].cpu().numpy()
    values, curves = {}, {}
    arrays: dict[str, np.ndarray] = {"indices": indices}
    for name, rows in rows_by_name.items():
        points = [_point(row, labels) for row in rows]
        values[name] = points[ascending.index(float(epsilons[0]))]
        curves[name] = _curve(name.partition("_")[2].replace("_", " "), ascending, points)
        arrays[name] = rows.T if rows.dtype == bool else rows.T.astype(np.float32)
        if rows.dtype == bool:
            first = np.where(rows.any(axis=0), np.array(ascending)[rows.argmax(axis=0)], np.inf)
            arrays[f"{name}_at"] = first.astype(np.float32)
    for name, drawn in controls.items():
        row = np.concatenate(drawn)
        values[name], arrays[name] = _point(row, labels), row.astype(np.float32)
        curves[name] = _curve("attribution", ascending, [values[name]] * len(ascending))
    flags = few_samples(count, len(data))
    if stuck > 0:
        flags.append(
            Flag(
                "zero_gradient",
                f"The gradient is exactly zero on {stuck} of {count} images, which do not "
                "change: the changes are underestimated. Next: check the model's logits there; saturated or "
                "quantised ones mask the gradient.",
            )
        )
    return Result(values, curves, flags, arrays)


def _curve(label: str, epsilons: list[float], points: Sequence[Value]) -> Curve:
    """Return the curve of the points, at ascending epsilons."""
    return Curve(
        epsilons,
        [point.value for point in points],
        [point.low for point in points],
        [point.high for point in points],
        "epsilon (L2)",
        label,
    )


def _point(row: np.ndarray, labels: np.ndarray) -> Value:
    if row.dtype == bool:
        return proportion(int(row.sum()), len(row), higher_is_better=False)
    known = np.isfinite(row)
    return mean_value(row[known], labels[known], higher_is_better=None)
