"""The stored images that a page names beside its charts."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from densitylab.backend.shared.contracts import Run, SampleSource
from densitylab.frontend.ui.api import api, catalog


@dataclass(frozen=True)
class StoredImage:
    """An image as the models get it."""

    pixels: np.ndarray  # (C, H, W) uint8
    label: int | None


def stored_images(run: Run, split: SampleSource, indices: Sequence[int]) -> dict[int, StoredImage]:
    """Return the images by index; without those of a large data set of which the API has no picture."""
    dataset = run.spec.dataset
    entry = catalog().entry("dataset", dataset.key)
    mode = "L" if entry is not None and entry.channels == 1 else "RGB"
    if split == "upload":
        return {index: StoredImage(_pixels(api().upload(index).image, mode), None) for index in indices}
    variant: dict[str, Any] = {name: dataset.params.get(name) for name in ("data_seed", "image_size")}
    stored = api().samples(dataset.key, split=split, limit=1, **variant).total or 0
    known = [index for index in indices if index < stored]
    samples = api().samples(dataset.key, split=split, indices=known, **variant).items if known else []
    return {sample.index: StoredImage(_pixels(sample.image, mode), sample.label) for sample in samples}


def distance_between(images: Mapping[int, StoredImage], first: int, second: int) -> float | None:
    """Return the L2 distance of two images in [0, 1] pixel units; None where one of them is not stored."""
    if first not in images or second not in images:
        return None
    difference = images[first].pixels.astype(float) - images[second].pixels
    return float(np.linalg.norm(difference)) / 255


def _pixels(url: str, mode: str) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert(mode))
    return np.atleast_3d(pixels).transpose(2, 0, 1)
