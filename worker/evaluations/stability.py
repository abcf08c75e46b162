"""Stability of an attribution under perturbations of the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.random_map import random_map
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value, proportion
from densitylab.worker.evaluations.similarity import SIMILARITIES
from densitylab.worker.evaluations.subset import draw_subset
from densitylab.worker.perturbations.perturbed import Perturbed


def stability(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    perturbation: Callable[..., Perturbed],
    samples: int | None = 500,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Compare the attributions of x and of the perturbed x, both of the class predicted for x.

    A regularized model has smaller gradients, so absolute differences are smaller in any case: compare the scale-free
    metrics, and read them relative to two controls, which are the values without any stability.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x.
        perturbation: (model, x, target, *, generator) -> Perturbed.
        samples: number of images, see `draw_subset`; None: all.
        fresh_model: gives the same network with random weights, on the same device, in eval mode.
        generator: draws perturbations and random maps.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each metric of `similarity` (`cosine`, `spearman`, `ssim`, `top_k`, `relative_l2`, `l2`): values
        `{metric}`, `{metric}_unchanged` (images with the same prediction), and the controls `{metric}_random_map`
        (the map against independent normal numbers of its own size, non-negative where it has no negative ones) and
        `{metric}_random_weights` (the map against that of the fresh model on the same image); bootstrap by class.
        Value `changed`, the share of images whose prediction changed (Wilson), and `displacement`, the mean ‖x′ − x‖₂.
        Arrays of the same names, but for `{metric}_unchanged`. No metric is defined for a map of zeros: such images are
        excluded, and a flag gives their number.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    indices = draw_subset(data, samples)
    untrained = fresh_model()
    suffixes = ("", "_random_map", "_random_weights")
    columns: dict[str, list[np.ndarray]] = {f"{name}{suffix}": [] for name in SIMILARITIES for suffix in suffixes}
    columns["changed"], columns["displacement"] = [], []
    seed = generator.initial_seed()
    for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
        generator.manual_seed(seed)  # every batch gets the same draws, whatever its images
        with torch.no_grad():
            target = model(x).argmax(dim=1)
        perturbed = perturbation(model, x, target, generator=generator)
        with torch.no_grad():
            columns["changed"].append((model(perturbed.images).argmax(dim=1) != target).cpu().numpy())
        moved = torch.linalg.vector_norm((perturbed.images - x).flatten(1).double(), dim=1)
        columns["displacement"].append(moved.cpu().numpy())
        clean = attribution(model, x, target)
        pairs = {
            "": perturbed.align(clean, attribution(model, perturbed.images, target)),
            "_random_map": (clean, random_map(clean, generator)),
            "_random_weights": (clean, attribution(untrained, x, target)),
        }
        for suffix, (one, other) in pairs.items():
            for name, (similarity, _) in SIMILARITIES.items():
                columns[f"{name}{suffix}"].append(similarity(one, other).cpu().numpy())
    measured = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in columns.items()}
    changed = measured.pop("changed").astype(bool)
    labels = data.labels[indices].cpu().numpy()
    everyone = np.ones(len(changed), bool)
    values = {
        "changed": proportion(int(changed.sum()), len(changed), higher_is_better=False),
        "displacement": mean_value(measured["displacement"], labels, higher_is_better=None),
    }
    for name, (_, higher) in SIMILARITIES.items():
        for suffix, over, direction in (
            ("", everyone, higher),
            ("_unchanged", ~changed, higher),
            ("_random_map", everyone, None),
            ("_random_weights", everyone, None),
        ):
            numbers = measured[name if suffix == "_unchanged" else f"{name}{suffix}"]
            known = over & np.isfinite(numbers)
            values[f"{name}{suffix}"] = mean_value(numbers[known], labels[known], higher_is_better=direction)
    flags = few_samples(len(changed), len(data))
    undefined = int((~np.isfinite(measured["cosine"])).sum())
    if undefined > 0:
        flags.append(
            Flag(
                "zero_attribution",
                f"{undefined} of {len(changed)} images have a map that is zero "
                "everywhere, before or after: they are excluded from every mean. Next: check these maps; "
                "saturated models have zero gradients.",
            )
        )
    return Result(
        values,
        {},
        flags,
        {
            "indices": indices,
            "changed": changed,
            **{name: numbers.astype(np.float32) for name, numbers in measured.items()},
        },
    )
