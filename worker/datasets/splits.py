"""Validation split of the training images."""

from __future__ import annotations

import numpy as np

VALIDATION_SHARE = 0.1


def hold_out(strata: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled indices (kept, held out), with `share` of each stratum held out, at least one and never all.

    Args:
        strata: (N,) the class of each image, or its class and group as one number.
        share: between 0 and 1.
        rng: draws the indices.

    Raises:
        ValueError: a stratum has a single image.
    """
    kept, held_out = [], []
    for stratum in np.unique(strata):
        shuffled = rng.permutation(np.flatnonzero(strata == stratum))
        if len(shuffled) < 2:
            raise ValueError("expected at least two images of each kind to draw a split, got one")
        count = min(len(shuffled) - 1, max(1, round(share * len(shuffled))))
        held_out.append(shuffled[:count])
        kept.append(shuffled[count:])
    return rng.permutation(np.concatenate(kept)), rng.permutation(np.concatenate(held_out))
