"""Images of prepared data sets as PNG data URLs."""

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy.orm import Session

from densitylab.backend.services.datasets import NotPrepared
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile
from densitylab.backend.shared.contracts import DatasetSample, FieldError
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.npz import read_arrays
from densitylab.backend.shared.store import datasets

Arrays = Mapping[str, NDArray[np.generic]]


class SampleCache:
    """Arrays of the most recently used NPZ files; a stored file never changes."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._cached: OrderedDict[str, Arrays] = OrderedDict()
        self._lock = threading.Lock()

    def arrays(self, store: ArtifactStore, location: str) -> Arrays:
        """Return the arrays of an NPZ; a data set has `{split}_images`, `_labels`, `_masks`, `_groups`.

        Raises FileNotFoundError, DamagedFile.
        """
        with self._lock:
            if location not in self._cached:
                self._cached[location] = read_arrays(store.read(location))
            self._cached.move_to_end(location)
            while len(self._cached) > self._files:
                self._cached.popitem(last=False)
            return self._cached[location]


def dataset_arrays(
    session: Session, store: ArtifactStore, cache: SampleCache, key: str, params: dict[str, Any]
) -> Arrays:
    """Return the image arrays of a prepared data set. Raises NotPrepared."""
    row = datasets.get(session, key, params)
    try:
        if row is not None and row.ready and row.samples_location is not None:
            return cache.arrays(store, row.samples_location)
    except (FileNotFoundError, DamagedFile):
        pass
    raise NotPrepared(
        f"the data set {key!r} is not prepared here yet: POST /api/v1/datasets/{key}/prepare, and try again when its "
        "task has succeeded",
        key,
    )


def of_label(arrays: Arrays, split: str, label: int | None) -> list[int]:
    """Return the sorted indices of the split's images, of one class if given."""
    labels = arrays[f"{split}_labels"]
    indices = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    return [int(index) for index in indices]


def samples(arrays: Arrays, split: str, indices: Sequence[int]) -> list[DatasetSample]:
    """Return the images with these indices, with label, and group and mask where the data set has them."""
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    groups, masks = arrays.get(f"{split}_groups"), arrays.get(f"{split}_masks")
    return [
        DatasetSample(
            index=index,
            label=int(labels[index]),
            group=None if groups is None else int(groups[index]),
            image=png_url(images[index]),
            mask=None if masks is None else png_url(_one_channel(masks[index]).astype(np.float32)),
        )
        for index in indices
    ]


def _one_channel(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a mask (H, W) or (1, H, W) as (1, H, W)."""
    return mask.reshape(1, *mask.shape[-2:])


def png_url(image: NDArray[np.generic]) -> str:
    """Return a (C, H, W) image, uint8 or in [0, 1], as the data URL of a PNG."""
    pixels = image if image.dtype == np.uint8 else np.clip(np.rint(image.astype(np.float32) * 255), 0, 255)
    pixels = pixels.astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def chosen_indices(arrays: Arrays, split: str, label: int | None, index: Sequence[int] | None) -> list[int]:
    """Return the indices of the requested images: all of a split, those of a class, or the given ones among them.

    Raises:
        InvalidRequest: an index is out of range.
    """
    candidates = of_label(arrays, split, label)
    if index is None:
        return candidates
    size = len(arrays[f"{split}_labels"])
    errors = [
        FieldError(pointer=f"/query/index/{position}", detail=f"expected 0 to {size - 1}, the {split} images")
        for position, number in enumerate(index)
        if number >= size
    ]
    if errors:
        raise InvalidRequest(errors)
    allowed = set(candidates)
    return [number for number in index if number in allowed]
