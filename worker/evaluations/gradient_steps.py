"""What one step up and down a gradient changes: the prediction, log p(x), and the attribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from worker.datasets.dataset import Dataset
from worker.evaluations.batches import batches
from worker.evaluations.result import Curve, Flag, Result, Value, few_samples, mean_value, proportion
from worker.evaluations.similarity import cosine
from worker.perturbations.steps import along, direction

Attribution = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
SIDES = {"up": 1.0, "down": -1.0}


def input_gradient_perturbation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Attribution,
    epsilons: Sequence[float] = (1.0, 0.25, 0.5, 2.0),
    samples: int | None = 1000,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """x ± epsilon · g/‖g‖₂ in [0, 1] with g = ∇ₓ f of the class predicted for the clean image; one step, g from it.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x; the target is the clean prediction for both.
        epsilons: at least one; the first is the headline. L2 lengths in [0, 1] pixel units.
        samples: only the first so many images; None: all.
        generator: not used, since nothing is drawn.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for `up` (+) and `down` (−), values at the first epsilon and curves over 0 and all of them: `{side}_changed`,
        the share of images whose prediction changed (Wilson); `{side}_log_density`, the mean change of log p(x);
        `{side}_attribution`, the mean cosine between the attributions of both images, where neither is zero
        (bootstrap). Arrays `{side}_changed_at`: per image the smallest epsilon that changed its prediction, inf for
        none. Images with g = 0 stay as they are, and are counted and flagged.

    Raises:
        ValueError: no epsilon.
        Stopped: `should_stop()` answered True.
    """

    def gradient(x: Tensor) -> Tensor:
        with torch.no_grad():
            predicted = model(x).argmax(dim=1, keepdim=True)
        return direction(lambda inputs: model(inputs).gather(1, predicted).squeeze(1), x)

    return _stepped(gradient, model, data, attribution, epsilons, samples, progress, should_stop)


def density_perturbation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Attribution,
    epsilons: Sequence[float] = (1.0, 0.25, 0.5, 2.0),
    samples: int | None = 1000,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """As `input_gradient_perturbation`, with g = ∇ₓ log p(x)."""

    def gradient(x: Tensor) -> Tensor:
        return direction(lambda inputs: model(inputs).logsumexp(dim=1), x)

    return _stepped(gradient, model, data, attribution, epsilons, samples, progress, should_stop)


def _stepped(
    gradient: Callable[[Tensor], Tensor],
    model: nn.Module,
    data: Dataset,
    attribution: Attribution,
    epsilons: Sequence[float],
    samples: int | None,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    if len(epsilons) == 0:
        raise ValueError("expected at least one epsilon, got none")
    ascending = sorted({0.0, *map(float, epsilons)})
    columns: dict[str, list[np.ndarray]] = {
        f"{side}_{what}": [] for side in SIDES for what in ("changed", "log_density", "attribution")
    }
    stuck = 0
    for _, x, _ in batches(model, data, samples, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x).double()
        predicted, log_density = logits.argmax(dim=1), logits.logsumexp(dim=1)
        clean, unit = attribution(model, x, predicted), gradient(x)
        stuck += int((unit == 0).flatten(1).all(dim=1).sum())
        for side, sign in SIDES.items():
            found: dict[str, list[Tensor]] = {"changed": [], "log_density": [], "attribution": []}
            for epsilon in ascending:
                moved = along(x, unit, sign * epsilon)
                with torch.no_grad():
                    after = model(moved).double()
                found["changed"].append(after.argmax(dim=1) != predicted)
                found["log_density"].append(after.logsumexp(dim=1) - log_density)
                found["attribution"].append(cosine(clean, attribution(model, moved, predicted)))
            for what, parts in found.items():
                columns[f"{side}_{what}"].append(torch.stack(parts).cpu().numpy())
    measured = {name: np.concatenate(parts, axis=1) for name, parts in columns.items()}
    count = measured["up_changed"].shape[1]
    labels = data.labels[:count].cpu().numpy()
    values, curves, arrays = {}, {}, {}
    for name, rows in measured.items():
        points = [_point(row, labels) for row in rows]
        values[name] = points[ascending.index(float(epsilons[0]))]
        curves[name] = Curve(
            ascending, [point.value for point in points], [point.low for point in points],
            [point.high for point in points], "epsilon (L2)", name.partition("_")[2].replace("_", " "),
        )
        if rows.dtype == bool:
            first = np.where(rows.any(axis=0), np.array(ascending)[rows.argmax(axis=0)], np.inf)
            arrays[f"{name}_at"] = first.astype(np.float32)
    flags = few_samples(count)
    if stuck > 0:
        flags.append(Flag("zero_gradient", f"The gradient is exactly zero on {stuck} of {count} images, which stay as "
                          "they are: the changes are understated. Next: look at the model's logits there; saturated "
                          "or quantised ones mask the gradient."))
    return Result(values, curves, flags, arrays)


def _point(row: np.ndarray, labels: np.ndarray) -> Value:
    if row.dtype == bool:
        return proportion(int(row.sum()), len(row), higher_is_better=False)
    known = np.isfinite(row)
    return mean_value(row[known], labels[known], higher_is_better=None)
