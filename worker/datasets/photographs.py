"""Decoding and resizing of the images of published data sets."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from densitylab.worker.datasets.npy_store import BLOCK

FORMATS = ("JPEG", "PNG", "WEBP")  # those of the published data sets, and no format that starts a program
MAX_PIXELS = 100_000_000


class Unreadable(ValueError):
    """Raised for bytes that are not a readable image."""


def decode(content: bytes, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Return the image as (C, H, W) uint8.

    An image of another size is cropped to the aspect ratio, around its centre, and scaled (bilinear, antialiased).

    Args:
        content: an encoded image.
        channels: 1 (grey) or 3 (colours).
        size: (height, width) of the result.

    Raises:
        Unreadable: the image can't be decoded.
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
    """Yield single images (C, H, W) as blocks (n, C, H, W)."""
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
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Unreadable("it is not an image of a known format") from None
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"it has {image.width}×{image.height} pixels, at most {MAX_PIXELS:,} are read")
    return image


def _middle(given: tuple[int, int], ratio: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box with the aspect ratio (height, width) in an image of (width, height)."""
    width, height = given
    scale = min(width / ratio[1], height / ratio[0])
    across, down = ratio[1] * scale, ratio[0] * scale
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
