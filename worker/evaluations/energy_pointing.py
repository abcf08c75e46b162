"""The energy-based pointing game: how much of an attribution's positive part lies on the object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value, proportion
from densitylab.worker.evaluations.subset import draw_subset


def energy_pointing(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    samples: int | None = None,
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
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `energy` (bootstrap by class), `hits` (the pointing game; Wilson) and `chance`, the object's share of the
        pixels, which a map without any information reaches in both; arrays `energy` and `hit`. An attribution without a
        positive part, or with values that are not finite, is excluded, and a flag gives their number.

    Raises:
        ValueError: the data set has no masks.
        Interrupted: `should_stop()` returned True.
    """
    if data.masks is None:
        raise ValueError("the pointing game needs a data set with a mask of its null part; this one has none")
    indices = draw_subset(data, samples)
    shares, hits, areas = [], [], []
    for part, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        maps = attribution(model, x, y).double().sum(dim=1).flatten(1)
        on_object = ~data.masks[indices[part]].to(x.device).flatten(1)
        positive = maps.clamp_min(0)
        shares.append(((positive * on_object).sum(dim=1) / positive.sum(dim=1)).cpu().numpy())
        hits.append(on_object.gather(1, maps.argmax(dim=1, keepdim=True)).squeeze(1).cpu().numpy())
        areas.append(on_object.double().mean(dim=1).cpu().numpy())
    energy = np.concatenate(shares) if shares else np.zeros(0)
    hit = np.concatenate(hits) if hits else np.zeros(0, bool)
    area = np.concatenate(areas) if areas else np.zeros(0)
    labels = data.labels[indices].cpu().numpy()
    known = np.isfinite(energy)
    flags = few_samples(len(energy))
    if not known.all():
        flags.append(
            Flag(
                "zero_attribution",
                f"{(~known).sum()} of {len(known)} attributions have no positive part, or values that are not finite "
                "numbers: they are excluded. Next: check these maps; saturated models have zero gradients.",
            )
        )
    return Result(
        values={
            "energy": mean_value(energy[known], labels[known], higher_is_better=True),
            "hits": proportion(int(hit[known].sum()), int(known.sum()), higher_is_better=True),
            "chance": mean_value(area[known], labels[known], higher_is_better=None),
        },
        flags=flags,
        arrays={
            "indices": indices,
            "energy": energy.astype(np.float32),
            "hit": np.where(known, hit, np.nan).astype(np.float32),
        },
    )
