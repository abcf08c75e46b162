"""The arrays of an evaluation by image: which images they are of, and which arrays have one number for each."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]
INDICES = "indices"  # of the images in their split; a result without them is of the first images


def of_images(arrays: Arrays) -> Arrays:
    """Return the arrays (N,) with one number per image of the split; names with "/" are of other images."""
    return {name: array for name, array in arrays.items() if array.ndim == 1 and name != INDICES and "/" not in name}


def indices_of(arrays: Arrays, count: int) -> NDArray[np.int64]:
    """Return the indices (count,) of the evaluation's images in their split."""
    stored = arrays.get(INDICES)
    return np.arange(count) if stored is None or len(stored) != count else stored.astype(np.int64)


def at_indices(values: NDArray[np.generic], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values by the image's index in the split, up to the last of them; NaN for images without one."""
    placed = np.full(int(indices.max(initial=-1)) + 1, np.nan)
    placed[indices] = values.astype(np.float64)
    return placed
