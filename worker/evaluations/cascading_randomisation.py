"""Cascading randomisation: attributions while a network's layers get random weights, the last one first."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.random_map import random_map
from densitylab.worker.evaluations.result import Curve, Flag, Result, Value, few_samples, mean_value
from densitylab.worker.evaluations.similarity import SIMILARITIES
from densitylab.worker.evaluations.subset import draw_subset

MEASURES = ("cosine", "spearman", "ssim", "top_k")


def cascading_randomisation(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    stages: int = 8,
    samples: int | None = 200,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Compare the attributions of the trained model with those of copies whose last layers are random.

    Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, *Sanity Checks for Saliency Maps*, NeurIPS 2018. A method that
    shows what the model has learned loses its likeness to the trained model's map; one that keeps it draws the image.
    All maps are of the class that the trained model predicts.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x.
        stages: most points of the curves after 0; a network of more layers has several of them randomised at once.
        samples: number of images, see `draw_subset`; None: all.
        fresh_model: gives the same network with random weights, on the same device, in eval mode.
        generator: draws the random maps of the control.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each of `cosine`, `spearman`, `ssim` and `top_k` (see `similarity`): the curve of that name over the share
        of layers that are random, from 0, and `{name}_chance`, the trained model's maps against independent normal
        numbers (bootstrap by class); values `{name}` with all layers random, and `{name}_chance`; value `layers`, their
        number; arrays `{name}`, with all layers random, `{name}_at` (N, S), at the points of the curve, and
        `{name}_chance`. Images with a map of zeros are excluded where that happens, and a flag says so.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    indices = draw_subset(data, samples)
    layers = _layers(model, data)
    groups = [list(part) for part in np.array_split(layers[::-1], min(stages, len(layers)))] if layers else []
    shares = [0.0, *(np.cumsum([len(group) for group in groups]) / len(layers)).tolist()] if layers else [0.0]
    fresh, changed = dict(fresh_model().named_modules()), copy.deepcopy(model)
    targets: list[Tensor] = []
    originals: list[Tensor] = []
    columns: list[dict[str, np.ndarray]] = []
    for number, group in enumerate([[], *groups]):
        modules = dict(changed.named_modules())
        for name in group:
            _copy_own(fresh[name], modules[name])
        parts: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}

        def report(share: float, number: int = number) -> None:
            progress((number + share) / (1 + len(groups)))

        for index, (_, x, _) in enumerate(batches(model, data, indices, progress=report, should_stop=should_stop)):
            if number == 0:
                with torch.no_grad():
                    targets.append(model(x).argmax(dim=1))
                originals.append(attribution(model, x, targets[index]).cpu())
            original = originals[index].to(x.device)
            for name, column in _similarities(original, attribution(changed, x, targets[index])).items():
                parts[name].append(column)
        columns.append({name: np.concatenate(part) if part else np.zeros(0) for name, part in parts.items()})
    controls = [_similarities(original, random_map(original, generator)) for original in originals]
    chance = {name: np.concatenate([part[name] for part in controls] or [np.zeros(0)]) for name in MEASURES}
    count = sum(map(len, targets))
    labels = data.labels[indices].cpu().numpy()

    def mean(numbers: np.ndarray, higher_is_better: bool | None = None) -> Value:
        known = np.isfinite(numbers)
        return mean_value(numbers[known], labels[known], higher_is_better=higher_is_better)

    values = {"layers": Value(float(len(layers)), None, None, count, None)}
    curves: dict[str, Curve] = {}
    for name in MEASURES:
        values[name], values[f"{name}_chance"] = mean(columns[-1][name], False), mean(chance[name])
        curves[name] = _curve(shares, [mean(column[name]) for column in columns])
        curves[f"{name}_chance"] = _curve(shares, [values[f"{name}_chance"]] * len(shares))
    return Result(
        values,
        curves,
        [*few_samples(count, len(data)), *_zero_maps(columns)],
        {
            "indices": indices,
            **{name: columns[-1][name].astype(np.float32) for name in MEASURES},
            **{f"{name}_at": np.stack([column[name] for column in columns], 1).astype(np.float32) for name in MEASURES},
            **{f"{name}_chance": chance[name].astype(np.float32) for name in MEASURES},
        },
    )


def _layers(model: nn.Module, data: Dataset) -> list[str]:
    """Return the names of modules with weights of their own, in the order of their first call."""
    called: dict[str, None] = {}
    own = {name: module for name, module in model.named_modules() if any(True for _ in module.parameters(False))}
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: called.setdefault(name))  # type: ignore[misc]
        for name, module in own.items()
    ]
    try:
        for _, x, _ in batches(
            model, data, np.arange(min(1, len(data))), progress=lambda share: None, should_stop=lambda: False
        ):
            with torch.no_grad():
                model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [*called, *(name for name in own if name not in called)]


def _copy_own(source: nn.Module, target: nn.Module) -> None:
    """Copy the parameters and buffers of one module, without those of its children."""
    own: dict[str, Tensor] = dict([*target.named_parameters(recurse=False), *target.named_buffers(recurse=False)])
    with torch.no_grad():
        for name, new in [*source.named_parameters(recurse=False), *source.named_buffers(recurse=False)]:
            own[name].copy_(new)


def _similarities(one: Tensor, other: Tensor) -> dict[str, np.ndarray]:
    return {name: SIMILARITIES[name][0](one, other).cpu().numpy() for name in MEASURES}


def _curve(x: list[float], values: list[Value]) -> Curve:
    return Curve(
        x=x,
        y=[value.value for value in values],
        low=[value.low for value in values],
        high=[value.high for value in values],
        x_label="share of the layers that are random",
        y_label="likeness",
    )


def _zero_maps(columns: list[dict[str, np.ndarray]]) -> list[Flag]:
    undefined = max(int((~np.isfinite(column["cosine"])).sum()) for column in columns)
    if undefined == 0:
        return []
    return [
        Flag(
            "zero_attribution",
            f"Up to {undefined} of {len(columns[0]['cosine'])} images have a map that is zero everywhere, of the "
            "trained or of a randomised model: they are excluded there. Next: check these maps.",
        )
    ]
