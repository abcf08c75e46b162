"""The images that an evaluation uses: all of a split, or a stratified subset."""

from __future__ import annotations

import numpy as np

from densitylab.worker.datasets.dataset import Dataset

SEED = 0  # of the draw, the same for every run


def draw_subset(data: Dataset, samples: int | None) -> np.ndarray:
    """Return the indices of `samples` images of a data set, see `draw_indices`."""
    groups = None if data.groups is None else data.groups.cpu().numpy()
    return draw_indices(data.labels.cpu().numpy(), groups, samples)


def draw_indices(labels: np.ndarray, groups: np.ndarray | None, samples: int | None) -> np.ndarray:
    """Return the indices of `samples` images, ascending; of all images if there are not more.

    The draw depends on the labels and groups of the data set alone, so all models are evaluated on the same images, and
    a smaller subset is part of a larger one. Each stratum (class, or class and group) is shuffled. Its k-th image of m,
    from 0, gets the position (k + 1/2) / m, and the images with the lowest positions are taken, so that the strata
    have their shares. Before them come the first image of each class, and then that of each stratum, so that no class
    is missing from a subset that has room for it.

    Args:
        labels: (N,) classes.
        groups: (N,) groups; None: there are none.
        samples: number of images, at least 1; None: all.
    """
    count = len(labels)
    if samples is None or samples >= count:
        return np.arange(count)
    rows = labels[:, None] if groups is None else np.stack([labels, groups], axis=1)
    _, stratum = np.unique(rows, axis=0, return_inverse=True)
    rng = np.random.default_rng(SEED)
    shuffled = rng.permutation(count)
    shuffled = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    sizes = np.bincount(stratum)
    begins = np.cumsum(sizes) - sizes
    positions = (np.arange(count) - np.repeat(begins, sizes) + 0.5) / np.repeat(sizes, sizes)
    # the draw breaks the ties of strata of the same size
    order = shuffled[np.lexsort((rng.random(count), positions))]
    firsts = [_first_of_each(labels[order]), _first_of_each(stratum[order]), np.arange(count)]
    places = np.concatenate(firsts)
    _, first = np.unique(places, return_index=True)  # a place counts once, where it comes first
    return np.sort(order[places[np.sort(first)][:samples]])


def _first_of_each(keys: np.ndarray) -> np.ndarray:
    """Return the places where each key occurs first, ascending."""
    return np.sort(np.unique(keys, return_index=True)[1])
