"""The one decoder of users' images: right values for each kind of file, and a sentence for each that is refused."""

import io
import os
import resource
import struct
import subprocess
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from densitylab.backend.shared import images
from densitylab.backend.shared.images import BadImage
from tests.every_image import every_image

RAMP16 = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
TOP = np.zeros((12, 20), np.uint8)  # white at the top
TOP[:4] = 255


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray:
    """The image in its own size: (H, W) if it is grey, else (H, W, 3)."""
    size, grey = images.header(content)
    pixels = images.decode(content, 1 if grey else 3, size)
    return pixels[0] if grey else pixels.transpose(1, 2, 0)


def png(rows: np.ndarray, depth: int, color: int, transparent: bytes = b"") -> bytes:
    """A PNG of packed rows (H, bytes), as Pillow does not write it."""
    height, packed = rows.shape
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    width = packed * 8 // (depth * samples)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))]
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def tiff(values: np.ndarray, bits: int, *, sample_format: int = 1, white_is_zero: bool = False) -> bytes:
    """An uncompressed grey TIFF of these bytes."""
    height, width = values.shape
    data = values.tobytes()
    if bits == 12:
        flat = values.astype(np.uint16).ravel()
        data = b"".join(
            bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
            for a, b in zip(flat[::2].tolist(), flat[1::2].tolist(), strict=True)
        )
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 0 if white_is_zero else 1)]
    tags += [(273, 4, 8 + 2 + 12 * 9 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format)]
    tags = [(tag, kind, value if tag != 273 else 8 + 2 + 12 * 10 + 4) for tag, kind, value in tags]
    directory = b"".join(
        struct.pack("<HHI", tag, kind, 1)
        + struct.pack("<I" if kind == 4 else "<HH", value, *([0] if kind == 3 else []))
        for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + directory + bytes(4) + data


def pgm16(values: np.ndarray, top: int) -> bytes:
    height, width = values.shape
    return f"P5 {width} {height} {top}\n".encode() + values.astype(">u2").tobytes()


UNIT = (RAMP / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(encoded(RAMP16), RAMP, id="png16"),
        pytest.param(encoded(RAMP16, "TIFF"), RAMP, id="tiff16"),
        pytest.param(encoded(RAMP16, "TIFF", compression="tiff_lzw"), RAMP, id="tiff16-lzw"),
        pytest.param(encoded(Image.fromarray(RAMP16.astype(">u2")), "TIFF"), RAMP, id="tiff16-big-endian"),
        pytest.param(tiff(RAMP16, 16, white_is_zero=True), 255 - RAMP, id="tiff16-white-is-zero"),
        pytest.param(tiff(RAMP.astype(np.uint16) * 16, 12), RAMP.astype(int) * 16 * 255 // 4095, id="tiff12"),
        pytest.param(encoded(UNIT, "TIFF"), RAMP, id="tiff-float"),
        pytest.param(tiff(UNIT, 32, sample_format=3, white_is_zero=True), 255 - RAMP, id="tiff-float-white-is-zero"),
        pytest.param(pgm16(RAMP16, 65535), RAMP, id="pgm16"),
        pytest.param(pgm16(RAMP.astype(np.uint16) * 4, 1020), RAMP, id="pgm10"),
        pytest.param(b"Pf 16 16 -1\n" + UNIT[::-1].tobytes(), RAMP, id="pfm"),
        pytest.param(png(np.repeat(RAMP, 2, axis=1), 16, 0), RAMP, id="png16-by-hand"),
        pytest.param(png(np.repeat(RAMP, 6, axis=1), 16, 2), np.repeat(RAMP[..., None], 3, 2), id="png16-colour"),
    ],
)
def test_more_than_eight_bits_are_scaled_by_their_true_range(content: bytes, expected: np.ndarray):
    assert np.abs(decoded(content).astype(int) - expected).max() == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(encoded(UNIT * 255, "TIFF"), "numbers are between 0 and 255, expected 0 to 1", id="floats to 255"),
        pytest.param(encoded(UNIT - 1, "TIFF"), "between -1 and 0", id="negative floats"),
        pytest.param(encoded(np.full((16, 16), np.nan, np.float32), "TIFF"), "between nan and nan", id="NaN"),
        pytest.param(encoded(RAMP.astype(np.int32), "TIFF"), "32-bit whole numbers", id="int32"),
        pytest.param(tiff(RAMP.astype(np.int16), 16, sample_format=2), "signed", id="int16"),
        pytest.param(tiff(RAMP.astype(np.uint32), 32), "32-bit whole numbers", id="uint32"),
    ],
)
def test_numbers_without_a_known_range_are_refused(content: bytes, reason: str):
    with pytest.raises(BadImage, match=reason):
        decoded(content)


def orientation_tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_exif_orientation_is_applied_before_the_size_is_judged(kind: str, orientation: int):
    image = Image.fromarray(TOP).convert("RGB")
    content = encoded(image, kind, exif=orientation_tag(orientation))
    upright = np.asarray(ImageOps.exif_transpose(_tagged(image, orientation)))
    assert images.header(content) == (upright.shape[:2], False)
    assert np.abs(decoded(content).astype(int) - upright).mean() < 12
    # a larger JPEG is decoded at a smaller scale
    large = encoded(image.resize((200, 120), Image.Resampling.NEAREST), kind, exif=orientation_tag(orientation))
    assert np.abs(images.decode(large, 3, upright.shape[:2])[0].astype(int) - upright[..., 0]).mean() < 12


def _tagged(image: Image.Image, orientation: int) -> Image.Image:
    copy = image.copy()
    copy.getexif()[0x0112] = orientation
    return copy


def test_a_broken_exif_block_is_no_broken_image():
    content = encoded(Image.fromarray(TOP), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20))
    assert images.header(content) == ((12, 20), True) and decoded(content)[0].min() > 240


CUTOUT = np.zeros((16, 16, 4), np.uint8)  # a green square; magenta below the transparent part
CUTOUT[..., :3] = (255, 0, 255)
CUTOUT[4:12, 4:12] = (0, 255, 0, 255)
ON_BLACK = CUTOUT[..., :3] * (CUTOUT[..., 3:] > 0)
KEYED = np.where(CUTOUT[..., 3:] > 0, CUTOUT[..., :3], (255, 0, 255)).astype(np.uint8)
INSIDE = CUTOUT[..., 3] > 0


def palette_with_transparency() -> Image.Image:
    image = Image.fromarray(INSIDE.astype(np.uint8)).convert("P")
    image.putpalette([255, 0, 255, 0, 255, 0])
    return image


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(CUTOUT), id="png"),
        pytest.param(encoded(CUTOUT, "WEBP", lossless=True, exact=True), id="webp"),
        pytest.param(encoded(CUTOUT, "TIFF"), id="tiff"),
        pytest.param(encoded(palette_with_transparency(), transparency=0), id="palette index"),
        pytest.param(encoded(palette_with_transparency(), transparency=b"\x00\xff"), id="palette alpha"),
        pytest.param(encoded(palette_with_transparency(), "GIF", transparency=0), id="gif"),
        pytest.param(encoded(KEYED, transparency=(255, 0, 255)), id="transparent colour"),
        pytest.param(
            png(np.repeat(KEYED.reshape(16, -1), 2, axis=1), 16, 2, struct.pack(">HHH", 65535, 0, 65535)),
            id="transparent colour of 16 bits",
        ),
        pytest.param(png(np.repeat(CUTOUT.reshape(16, -1), 2, axis=1), 16, 6), id="alpha of 16 bits"),
    ],
)
def test_transparent_parts_are_black(content: bytes):
    assert (decoded(content) == ON_BLACK).all()


def test_grey_with_transparency_is_black_there_and_stays_grey():
    light = np.where(INSIDE, 200, 90).astype(np.uint8)
    alpha = np.dstack([light, INSIDE.astype(np.uint8) * 255])
    expected = np.where(INSIDE, 200, 0)
    for content in (
        encoded(Image.fromarray(alpha, "LA")),
        encoded(light, transparency=90),
        png(np.repeat(alpha.reshape(16, -1), 2, axis=1), 16, 4),
        png(np.repeat(light, 2, axis=1), 16, 0, struct.pack(">H", 90 * 257)),
    ):
        assert images.header(content)[1] and (decoded(content) == expected).all()
    two_bits = np.where(INSIDE, 2, 1).astype(np.uint8)
    packed = two_bits[:, ::4] << 6 | two_bits[:, 1::4] << 4 | two_bits[:, 2::4] << 2 | two_bits[:, 3::4]
    assert (decoded(png(packed, 2, 0, struct.pack(">H", 1))) == np.where(INSIDE, 170, 0)).all()


def test_half_transparent_is_half_as_light():
    content = encoded(np.full((16, 16, 4), (200, 100, 50, 128), np.uint8))
    assert np.abs(decoded(content)[0, 0].astype(int) - (100, 50, 25)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read(kind: str):
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    assert np.abs(decoded(encoded(red.convert("CMYK"), kind)).astype(int) - (200, 30, 40)).max() <= 6


def test_the_further_pictures_of_a_camera_file_are_ignored():
    first = Image.new("RGB", (16, 16), (200, 30, 40))
    content = encoded(first, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert np.abs(decoded(content).astype(int) - (200, 30, 40)).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_animation_is_refused(kind: str):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    with pytest.raises(BadImage, match="animated or has several pages"):
        images.header(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


def test_another_colour_space_is_refused():
    with pytest.raises(BadImage, match="colour space LAB: save it as RGB"):
        images.header(encoded(Image.new("LAB", (16, 16)), "TIFF"))


def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "FILE_SECONDS", -1.0)
    with pytest.raises(BadImage, match="takes more than"):
        images.header(encoded(RAMP))


HALF = np.zeros((16, 16), bool)
HALF[:, 8:] = True


def mask_palette(first: tuple[int, int, int], second: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(HALF.astype(np.uint8)).convert("P")
    image.putpalette([*first, *second])
    return image


def of_levels(low: Any, high: Any, kind: type = np.uint8) -> np.ndarray:
    return np.where(HALF[..., None] if np.ndim(low) else HALF, high, low).astype(kind)


SOFT = np.where(HALF, np.arange(256).reshape(16, 16) % 100 + 150, np.arange(256).reshape(16, 16) % 100).astype(np.uint8)
MASKS: dict[str, Callable[[], bytes]] = {
    "0 and 255": lambda: encoded(of_levels(0, 255)),
    "0 and 1": lambda: encoded(of_levels(0, 1)),
    "0 and 127": lambda: encoded(of_levels(0, 127)),
    "video levels": lambda: encoded(of_levels(16, 235)),
    "1 bit": lambda: encoded(Image.fromarray(HALF)),
    "1 bit in TIFF": lambda: encoded(Image.fromarray(HALF), "TIFF", compression="group4"),
    "1 bit in PBM": lambda: encoded(Image.fromarray(HALF), "PPM"),
    "palette of PASCAL VOC": lambda: encoded(mask_palette((0, 0, 0), (128, 0, 0))),
    "palette of almost black": lambda: encoded(mask_palette((0, 0, 0), (1, 1, 1))),
    "palette in GIF": lambda: encoded(mask_palette((0, 0, 0), (128, 0, 0)), "GIF"),
    "palette in BMP": lambda: encoded(mask_palette((0, 0, 0), (0, 64, 0)), "BMP"),
    "opaque black": lambda: encoded(of_levels((0, 0, 0, 0), (0, 0, 0, 255))),
    "opaque white": lambda: encoded(of_levels((0, 0, 0, 0), (255, 255, 255, 255))),
    "opaque grey": lambda: encoded(Image.fromarray(of_levels((9, 0), (9, 255)), "LA")),
    "alpha is constant": lambda: encoded(of_levels((0, 0, 0, 255), (255, 255, 255, 255))),
    "transparent palette": lambda: encoded(mask_palette((255, 255, 255), (0, 0, 0)), transparency=0),
    "red": lambda: encoded(of_levels((0, 0, 0), (255, 0, 0))),
    "0 and 1 in colour": lambda: encoded(of_levels((0, 0, 0), (1, 1, 1))),
    "16 bits": lambda: encoded(of_levels(0, 65535, np.uint16)),
    "0 and 1 of 16 bits": lambda: encoded(of_levels(0, 1, np.uint16)),
    "0 and 1 of 16 bits in TIFF": lambda: encoded(of_levels(0, 1, np.uint16), "TIFF"),
    "floats": lambda: encoded(of_levels(0, 1, np.float32), "TIFF"),
    "numbered objects": lambda: encoded(np.where(HALF, np.arange(16)[:, None] // 4 + 1, 0).astype(np.uint8)),
    "soft": lambda: encoded(SOFT),
    "JPEG": lambda: encoded(of_levels(0, 255), "JPEG"),
    "WebP": lambda: encoded(Image.fromarray(of_levels(0, 255)), "WEBP"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_as_people_save_them(name: str):
    assert (images.mask(MASKS[name](), (16, 16)) == HALF).all()


def test_a_mask_is_turned_and_scaled_as_its_image():
    mask = images.mask(encoded(of_levels(0, 1), exif=orientation_tag(6)), (8, 8))
    assert mask[4:].all() and not mask[:4].any()


def test_a_mask_that_says_two_things_is_refused():
    pixels = of_levels((0, 0, 0, 0), (255, 255, 255, 255))
    pixels[:4, 8:, :3] = 0
    with pytest.raises(BadImage, match="transparent, and also black and white"):
        images.mask(encoded(pixels), (16, 16))


def test_every_format_and_mode_gives_pixels_or_a_sentence_and_starts_no_process(monkeypatch: pytest.MonkeyPatch):
    files = every_image()
    assert len(files) > 80

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    for name in ("fork", "posix_spawn", "system", "execv", "forkpty"):
        monkeypatch.setattr(os, name, forbidden)
    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, forbidden)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, refused = set(), {}
    for name, content in files:
        try:
            size, _ = images.header(content)
            assert size == (16, 16)
            assert images.decode(content, 3, size).shape == (3, 16, 16)
            read.add(name)
        except BadImage as error:
            refused[name] = str(error)
    assert {name.split()[0] for name in read} == {"MPO", *images.FORMATS}
    unknown = {name.split()[0] for name, reason in refused.items() if "not an image of a known format" in reason}
    assert unknown >= {"EPS", "PDF", "TGA", "JPEG2000", "ICO", "PCX"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
