"""Encoded images to arrays: read, and brought to one size."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from worker.datasets.compact import BLOCK

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 100_000_000


class Unreadable(ValueError):
    """Bytes that are no image that we read."""


def header(content: bytes) -> tuple[tuple[int, int], bool]:
    """((height, width), whether it is grey) without decoding the pixels. Raises Unreadable."""
    image = _opened(content)
    return (image.height, image.width), image.mode in ("1", "L", "LA", "I;16", "I")


def decode(content: bytes, channels: int, size: tuple[int, int]) -> np.ndarray:
    """The image as (C, H, W) uint8.

    Another size is cut to the shape wanted, around its middle, and scaled (bilinear, antialiased).

    Args:
        content: an encoded image.
        channels: 1 (grey) or 3 (colours).
        size: (height, width) wanted.

    Raises:
        Unreadable: it cannot be decoded.
    """
    image = _opened(content)
    height, width = size
    try:
        if (image.height, image.width) != size:
            image.draft("RGB" if channels == 3 else "L", (width, height))
        image = image.convert("RGB" if channels == 3 else "L")
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable(str(error)) from None
    if (image.height, image.width) != size:
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=_middle(image.size, size))
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0)


def blocks(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Images (C, H, W) one by one, as blocks (n, C, H, W)."""
    block: list[np.ndarray] = []
    for image in images:
        block.append(image)
        if len(block) == BLOCK:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def _opened(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Unreadable("it is no image of a known format") from None
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"it has {image.width}×{image.height} pixels, at most {MAX_PIXELS:,} are read")
    return image


def _middle(given: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred box of the wanted shape (height, width) in an image of the given (width, height)."""
    width, height = given
    scale = min(width / wanted[1], height / wanted[0])
    across, down = wanted[1] * scale, wanted[0] * scale
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
