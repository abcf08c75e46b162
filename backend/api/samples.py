"""Images of prepared data sets, as the page shows them."""

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import DatasetSample

Arrays = Mapping[str, NDArray[np.generic]]


class SampleCache:
    """The arrays of the files looked at last; a stored file never changes under its location."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._kept: OrderedDict[str, Arrays] = OrderedDict()
        self._lock = threading.Lock()

    def arrays(self, store: ArtifactStore, location: str) -> Arrays:
        """The arrays of the NPZ there; of a data set `{split}_images`, `_labels`, `_masks`, `_groups`.

        Raises FileNotFoundError.
        """
        with self._lock:
            if location not in self._kept:
                with np.load(io.BytesIO(store.read(location)), allow_pickle=False) as file:
                    self._kept[location] = {name: file[name] for name in file.files}
            self._kept.move_to_end(location)
            while len(self._kept) > self._files:
                self._kept.popitem(last=False)
            return self._kept[location]


def of_label(arrays: Arrays, split: str, label: int | None) -> list[int]:
    """Indices of the split's images of a class, or of all; in order."""
    labels = arrays[f"{split}_labels"]
    found = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    return [int(index) for index in found]


def samples(arrays: Arrays, split: str, indices: Sequence[int]) -> list[DatasetSample]:
    """The images with these indices, with label, group and mask where the data set has them."""
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    groups, masks = arrays.get(f"{split}_groups"), arrays.get(f"{split}_masks")
    return [
        DatasetSample(
            index=index, label=int(labels[index]), group=None if groups is None else int(groups[index]),
            image=png_url(images[index]),
            mask=None if masks is None else png_url(_flat(masks[index]).astype(np.float32)),
        )
        for index in indices
    ]


def _flat(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    """(H, W) of a mask (H, W) or (1, H, W), as (1, H, W)."""
    return mask.reshape(1, *mask.shape[-2:])


def png_url(image: NDArray[np.generic]) -> str:
    """A (C, H, W) image, uint8 or in [0, 1], as the data URL of a PNG."""
    pixels = image if image.dtype == np.uint8 else np.clip(np.rint(image.astype(np.float32) * 255), 0, 255)
    pixels = pixels.astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
