"""The lowest share of right images in a group."""

from __future__ import annotations

import numpy as np

from densitylab.worker.evaluations.result import Value, resampled


def worst_group(correct: np.ndarray, groups: np.ndarray) -> Value:
    """Return the lowest share of (N,) correct images in one of the groups that have images, with its bootstrap interval
    stratified by group; n is the number of images of that group.

    Args:
        correct: (N,) bool.
        groups: (N,) of each image.
    """
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    one_hot = np.eye(len(sizes))[member]

    def shares(of: np.ndarray) -> np.ndarray:
        return of @ one_hot / sizes

    return resampled(
        lambda drawn: shares(correct[drawn]).min(axis=1),
        groups,
        n=int(sizes[shares(correct).argmin()]) if len(sizes) else 0,
        higher_is_better=True,
    )
