"""One's own image, fitted to a data set's shape: its pixels alone are kept."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 16 * 2**20  # of the image as sent; 3 bytes each are held while it is fitted
MIN_SIDE = 8  # less shows nothing that fitting would leave
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits a channel, grey or red, green, blue
# What Pillow raises on files that are not as their header says
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class BadImage(ValueError):
    """The file is no image that can be shown; the message says why and what to do."""


def fitted(content: bytes, channels: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The image's pixels in a data set's shape.

    Turned as its EXIF orientation says, laid on black where it is transparent, cut to the data set's aspect ratio
    around its centre, resized (Lanczos), and made grey (ITU-R 601 luma) for one channel. What the header says is
    judged before a pixel is decoded, so that a file which unpacks to very much costs nothing.

    Args:
        content: the file; PNG, JPEG or WebP.
        channels: 1 or 3.
        size: (height, width) of the data set.

    Returns:
        (C, H, W) uint8, and the (height, width) that the image had, turned.

    Raises:
        BadImage: it is of another kind, animated, CMYK, of 16 bits, too large, too small, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image, content)
            picture = ImageOps.exif_transpose(image)
            seen = (picture.height, picture.width)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
            # Colours first: a palette's indices cannot be resized
            picture = picture.convert("L" if channels == 1 else "RGB")
            height, width = size
            pixels = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    except UnidentifiedImageError:
        raise BadImage("this is no PNG, JPEG or WebP image, whatever its name says") from None
    except Image.DecompressionBombError:
        raise BadImage(f"the image has too many pixels: at most {MAX_PIXELS} are taken") from None
    except BadImage:
        raise
    except _DAMAGED:
        raise BadImage("the image is damaged or cut short: save it anew, for example as PNG") from None
    return (pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))), seen


def _check(image: Image.Image, content: bytes) -> None:
    """What the header says. Raises BadImage."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"the image has {width} × {height} pixels: at most {MAX_PIXELS} in all are taken; make it "
                       "smaller")
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"the image has {width} × {height} pixels: at least {MIN_SIDE} a side are needed")
    if getattr(image, "is_animated", False):
        raise BadImage("the image is animated: save one frame of it")
    # Pillow opens a coloured PNG of 16 bits a channel as one of 8: only the header (IHDR) tells
    deep_png = image.format == "PNG" and content[24] > 8
    if deep_png or image.mode.startswith(("I", "F")):
        raise BadImage("the image has 16 bits a channel or more: save it with 8")
    if image.mode not in _MODES:
        raise BadImage(f"the image is in the colour space {image.mode}: save it as RGB or grey")
