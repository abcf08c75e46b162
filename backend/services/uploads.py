"""Fit an uploaded image to a data set's shape; only its pixels are stored."""

import numpy as np
from numpy.typing import NDArray

from densitylab.backend.shared import images
from densitylab.backend.shared.errors import DomainError


class BadImage(DomainError):
    """A file that is no image of a supported kind; the message gives the reason and what to do."""

    status = 422

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "")


def fit(content: bytes, channels: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the image's pixels in a data set's shape, decoded as the images of a registered data set are.

    The header is checked before a pixel is decoded, so that a decompression bomb costs nothing.

    Args:
        content: the file, in one of `images.FORMATS`.
        channels: 1 or 3.
        size: (height, width) of the data set.

    Returns:
        (C, H, W) uint8, and the (height, width) of the original, after the EXIF rotation.

    Raises:
        BadImage: see `images.decode`.
    """
    try:
        original, _ = images.header(content)
        return images.decode(content, channels, size), original
    except images.BadImage as error:
        raise BadImage(f"this file can't be read: {error}") from None
