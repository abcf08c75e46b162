"""Decode users' images: the one decoder of uploads and of registered data sets.

Only the formats of SUFFIXES are opened, whatever a file's name says, so no other program is ever started. Images of
more than 8 bits are scaled by their true range, or refused. Transparent parts become black. The EXIF orientation is
applied before the size is judged.
"""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")
# Endings of file names in these formats
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
MAX_PIXELS = 64 * 2**20
MIN_SIDE = 8  # a smaller image has no detail left after fitting
FILE_SECONDS = 30.0
_EXACT = ("PNG", "GIF", "BMP", "TIFF", "PPM")  # formats that store the levels of a mask without loss
_LABELS = 16  # distinct values up to which a mask is read as numbered objects
_TRANSPOSE = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation -> PIL.Image.Transpose
_SWAPPED = (5, 6, 4, 2)  # the transpositions that swap height and width
_PNG_EXIF = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_DEEP = ("I;16", "I;16L", "I;16B", "I", "F")  # one channel of more than 8 bits
_GREY = ("1", "L", "LA", *_DEEP)
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# Exceptions of Pillow for files that contradict their header
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError),
    *(EOFError, struct.error, zlib.error),
)


class BadImage(ValueError):
    """Raised for a file that is no image of a supported kind; the message says why and what to do."""


def header(content: bytes) -> tuple[tuple[int, int], bool]:
    """Return the upright (height, width) and whether the image is grey, from the header alone.

    Raises:
        BadImage: it is no image, or of an unsupported kind or size.
    """
    with _opened(content) as image:
        # Pillow opens a grey PNG of 16 bits with transparency as RGBA; byte 25 is its colour type
        grey_png = image.format == "PNG" and content[25] == 4
        return _upright_size(image, content), image.mode in _GREY or grey_png


def decode(content: bytes, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image as (C, H, W) uint8.

    An image of another size is cropped to the aspect ratio, around its centre, and scaled (bilinear, antialiased).
    Colours become grey (ITU-R 601 luma) for one channel.

    Args:
        content: an encoded image.
        channels: 1 (grey) or 3 (colours).
        size: (height, width) of the result.

    Raises:
        BadImage: the image can't be decoded, or is of an unsupported kind or size.
    """
    from PIL import Image

    with _opened(content) as image:
        _require_detail(image)
        turn = _turn(image, content)
        # a JPEG is decoded at the smallest scale that is large enough
        image.draft(None, size if turn in _SWAPPED else (size[1], size[0]))
        mode = "L" if channels == 1 else "RGB"
        if image.mode in _DEEP:
            picture = _eight_bit(image).convert(mode)
        elif image.has_transparency_data:
            picture = _with_alpha(image, content).convert("RGBa")  # colours times alpha: on black
        else:
            picture = image.convert(mode)
        picture = _fitted(picture, turn, size)
        if picture.mode == "RGBa":
            picture = Image.merge("RGB", picture.split()[:3]).convert(mode)
        pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def mask(content: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W), True where the mask marks: white, or the opaque part of an image with transparency.

    A mask of few distinct values (0 and 1, numbered objects, a palette) marks whatever is not 0; another one marks
    the upper half of its range. Of colours the largest channel counts.

    Args:
        content: an encoded image.
        size: (height, width) to which it is cropped and scaled, as `decode` does.

    Raises:
        BadImage: as for `decode`.
    """
    from PIL import Image

    with _opened(content) as image:
        _require_detail(image)
        turn = _turn(image, content)
        values, top = _mask_values(image, content)
        levels = np.unique(values)
        few = image.format in _EXACT and len(levels) <= _LABELS and levels[0] == 0
        marked = values > 0 if few else values > top / 2
        return np.asarray(_fitted(Image.fromarray(marked.astype(np.uint8) * 255), turn, size)) >= 128


class _TimedFile(io.BytesIO):
    """A file in memory that can be read for FILE_SECONDS."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._end = time.monotonic() + FILE_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._end:
            raise BadImage(f"reading it takes more than {FILE_SECONDS:.0f} s")
        return super().read(size)


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    """Open the image and check its header. Exceptions of Pillow inside the block become BadImage."""
    from PIL import Image, UnidentifiedImageError

    Image.init()
    try:
        with Image.open(_TimedFile(content), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            _check(image)
            yield image
    except UnidentifiedImageError:
        raise BadImage("it is not an image of a known format") from None
    except Image.DecompressionBombError:
        raise BadImage(f"it has too many pixels, at most {MAX_PIXELS:,} are read: make it smaller") from None
    except BadImage:
        raise
    except _DAMAGED:
        raise BadImage("it is damaged or incomplete: save it again, for example as PNG") from None


def _check(image: Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(
            f"it has {image.width} × {image.height} pixels, at most {MAX_PIXELS:,} are read: make it smaller"
        )
    # the further pictures of a camera's MPO file are previews or other exposures
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise BadImage("it is animated or has several pages: save a single one")
    if image.mode not in _GREY + _COLOUR:
        raise BadImage(f"it is in the colour space {image.mode}: save it as RGB or grey")
    if image.mode == "I" and image.format == "TIFF":
        raise BadImage("it has signed or 32-bit whole numbers: save it with 8 or 16 bits per channel")


def _require_detail(image: Image) -> None:
    if min(image.size) < MIN_SIDE:
        raise BadImage(f"it has {image.width} × {image.height} pixels, expected at least {MIN_SIDE} per side")


def _turn(image: Image, content: bytes) -> Transpose | None:
    """Return the transposition that makes the image upright. Pillow turns a TIFF itself."""
    from PIL.Image import Transpose

    if image.format == "TIFF":
        return None
    if image.format == "PNG" and not any(keyword in content for keyword in _PNG_EXIF):
        return None  # Pillow would decode all pixels to look behind them
    try:
        turn = _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    except _DAMAGED:  # of the EXIF block alone: the pixels may be readable
        return None
    return None if turn is None else Transpose(turn)


def _upright_size(image: Image, content: bytes) -> tuple[int, int]:
    """Return (height, width)."""
    return image.size if _turn(image, content) in _SWAPPED else (image.height, image.width)


def _deep_values(image: Image) -> tuple[NDArray[Any], float]:
    """Return (H, W) numbers of more than 8 bits, and the top of their range. Raises BadImage for other floats."""
    values, top = np.asarray(image), 65535.0
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        top = 1.0
        if not (values.min() >= 0 and values.max() <= 1):  # NaN too
            raise BadImage(
                f"its floating-point numbers are between {values.min():g} and {values.max():g}, expected 0 to 1: "
                "scale them, or save it with 8 or 16 bits"
            )
    elif 258 in tags:
        top = 2.0 ** tags[258][0] - 1
    if tags.get(262) == 0:  # white is zero, which Pillow ignores for these
        values = (top - values).astype(values.dtype)
    return values, top


def _eight_bit(image: Image) -> Image:
    """Return grey of more than 8 bits as mode L, scaled by its range."""
    from PIL import Image

    values, top = _deep_values(image)
    levels = np.rint(values * 255) if image.mode == "F" else values.astype(np.uint32) * 255 // int(top)
    if "transparency" in image.info:
        levels[values == image.info["transparency"]] = 0
    return Image.fromarray(levels.astype(np.uint8))


def _with_alpha(image: Image, content: bytes) -> Image:
    """Return the image as RGBA."""
    image.load()
    key: Any = image.info.get("transparency")
    depth = content[24]
    if image.format == "PNG" and depth != 8:
        # Pillow scales the pixels of a PNG to 8 bits, but not the colour that is transparent
        if image.mode == "L":
            image.info["transparency"] = key * 255 // (2**depth - 1)
        elif image.mode == "RGB":
            image.info["transparency"] = tuple(level >> 8 for level in key)
    return image.convert("RGBA")


def _mask_values(image: Image, content: bytes) -> tuple[NDArray[Any], float]:
    """Return (H, W) numbers that are larger on the marked part, and the top of their range."""
    if image.mode in _DEEP:
        return _deep_values(image)
    if image.has_transparency_data:
        pixels = np.asarray(_with_alpha(image, content))
        alpha, levels = pixels[..., 3], pixels[..., :3].max(-1)
        if alpha.min() == alpha.max():
            return levels, 255
        if set(np.unique(levels[alpha >= 128])) == {0, 255}:
            raise BadImage("it is transparent, and also black and white: save it as black and white alone")
        return alpha, 255
    return np.asarray(image.convert("RGB")).max(-1), 255


def _fitted(picture: Image, turn: Transpose | None, size: tuple[int, int]) -> Image:
    """Return the upright image, cropped and scaled to (height, width)."""
    from PIL import Image, ImageOps

    height, width = size
    shape = (height, width) if turn in _SWAPPED else (width, height)
    fitted = ImageOps.fit(picture, shape, Image.Resampling.BILINEAR)
    return fitted if turn is None else fitted.transpose(turn)
