"""The energy-based pointing game: how much of an attribution's positive part lies on the object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.random_map import random_map
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value, proportion
from densitylab.worker.evaluations.subset import draw_subset


def energy_pointing(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    samples: int | None = None,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return Σ_object a⁺ / Σ a⁺, with a the attribution of the labelled class, summed over channels.

    The object is everything outside of the data set's null mask, and a⁺ = max(a, 0) (Wang, Wang, Du, Yang, Zhang, Ding,
    Mardziel, Hu, *Score-CAM*, CVPR Workshops 2020). The pointing game asks whether the largest a lies on the object
    (Zhang, Bargal, Lin, Brandt, Shen, Sclaroff, IJCV 2018).

    Args:
        model: gives logits (N, K), in eval mode.
        data: images, labels and masks.
        attribution: (model, x, target) -> attributions shaped like x.
        samples: number of images, see `draw_subset`; None: all.
        fresh_model: gives the same network with random weights, on the same device, in eval mode.
        generator: draws the random maps.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `energy` (bootstrap by class), `hits` (the pointing game; Wilson) and `chance`, the object's share of the
        pixels, which a map without any information reaches in both; of both the controls `{name}_random_map`
        (independent normal numbers, non-negative where the map has no negative ones) and `{name}_random_weights` (the
        fresh model's map). Arrays `energy`, `hit`, `chance` and the controls. An attribution without a positive part,
        or with values that are not finite, is excluded, and a flag gives the number of the model's own.

    Raises:
        ValueError: the data set has no masks.
        Interrupted: `should_stop()` returned True.
    """
    if data.masks is None:
        raise ValueError("the pointing game needs a data set with a mask of its null part; this one has none")
    indices, untrained = draw_subset(data, samples), fresh_model()
    columns: dict[str, list[np.ndarray]] = {}
    for part, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        on_object = ~data.masks[indices[part]].to(x.device).flatten(1)
        own = attribution(model, x, y)
        maps = {
            "": own,
            "_random_map": random_map(own, generator),
            "_random_weights": attribution(untrained, x, y),
        }
        columns.setdefault("chance", []).append(on_object.double().mean(dim=1).cpu().numpy())
        for suffix, drawn in maps.items():
            for name, column in _parts(drawn, on_object).items():
                columns.setdefault(f"{name}{suffix}", []).append(column.cpu().numpy())
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    labels = data.labels[indices].cpu().numpy()
    known = np.isfinite(arrays["energy"])
    flags = few_samples(len(indices), len(data))
    if not known.all():
        flags.append(
            Flag(
                "zero_attribution",
                f"{(~known).sum()} of {len(known)} attributions have no positive part, or values that are not finite "
                "numbers: they are excluded. Next: check these maps; saturated models have zero gradients.",
            )
        )
    values = {"chance": mean_value(arrays["chance"][known], labels[known], higher_is_better=None)}
    for suffix, better in (("", True), ("_random_map", None), ("_random_weights", None)):
        energy, hit = arrays[f"energy{suffix}"], arrays[f"hit{suffix}"]
        defined = known & np.isfinite(energy)
        values[f"energy{suffix}"] = mean_value(energy[defined], labels[defined], higher_is_better=better)
        values[f"hits{suffix}"] = proportion(int(hit[defined].sum()), int(defined.sum()), higher_is_better=better)
    return Result(
        values=values,
        flags=flags,
        arrays={"indices": indices, **{name: column.astype(np.float32) for name, column in arrays.items()}},
    )


def _parts(attributions: Tensor, on_object: Tensor) -> dict[str, Tensor]:
    """Return `energy` and `hit` of maps (N, C, H, W) for objects (N, pixels), (N,) each; NaN where not defined."""
    maps = attributions.double().sum(dim=1).flatten(1)
    positive = maps.clamp_min(0)
    energy = (positive * on_object).sum(dim=1) / positive.sum(dim=1)
    hit = on_object.gather(1, maps.argmax(dim=1, keepdim=True)).squeeze(1).double()
    return {"energy": energy, "hit": torch.where(energy.isfinite(), hit, torch.nan)}
