"""Pixels of images, masks and maps on a shared colour scale."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# ColorBrewer's RdBu (11 classes), blue first: negative is blue, zero white, positive red
_DIVERGING = np.array(
    [
        (5, 48, 97),
        (33, 102, 172),
        (67, 147, 195),
        (146, 197, 222),
        (209, 229, 240),
        (247, 247, 247),
        (253, 219, 199),
        (244, 165, 130),
        (214, 96, 77),
        (178, 24, 43),
        (103, 0, 31),
    ],
    dtype=float,
)
# Cividis (Nuñez, Anderton, Renslow 2018), sampled: perceptually uniform, for magnitudes
_SEQUENTIAL = np.array(
    [
        (0, 34, 78),
        (18, 53, 112),
        (59, 73, 108),
        (87, 93, 109),
        (112, 113, 115),
        (138, 134, 120),
        (165, 156, 116),
        (195, 179, 105),
        (225, 204, 85),
        (254, 232, 56),
    ],
    dtype=float,
)
# ColorBrewer's PuOr (11 classes), purple first
_PURPLE_ORANGE = np.array(
    [
        (45, 0, 75),
        (84, 39, 136),
        (128, 115, 172),
        (178, 171, 210),
        (216, 218, 235),
        (247, 247, 247),
        (254, 224, 182),
        (253, 184, 99),
        (224, 130, 20),
        (179, 88, 6),
        (127, 59, 8),
    ],
    dtype=float,
)
# Viridis (Smith, van der Walt 2015), sampled
_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (72, 40, 120),
        (62, 74, 137),
        (49, 104, 142),
        (38, 130, 142),
        (31, 158, 137),
        (53, 183, 121),
        (109, 205, 89),
        (180, 222, 44),
        (253, 231, 37),
    ],
    dtype=float,
)
_GREY = np.array([(0, 0, 0), (255, 255, 255)], dtype=float)
# By their names on the page; the first of each kind is the default
DIVERGING = {"red-blue": _DIVERGING, "purple-orange": _PURPLE_ORANGE}
ENDS = {"red-blue": ("blue", "red"), "purple-orange": ("purple", "orange")}  # colours of negative and positive values
SEQUENTIAL = {"cividis": _SEQUENTIAL, "viridis": _VIRIDIS, "grey": _GREY}
SIGNS = ("signed", "positive", "negative", "magnitude")
_NOT_A_NUMBER = (128, 128, 128)


@dataclass(frozen=True)
class Maps:
    """The arrays of an attribution: R runs, N images, C channels of H × W pixels."""

    images: np.ndarray  # (N, C, H, W), uint8 or [0, 1]
    labels: np.ndarray  # (N,)
    attributions: np.ndarray  # (R, N, C, H, W), raw
    predicted: np.ndarray  # (R, N)
    confidence: np.ndarray  # (R, N)
    masks: np.ndarray | None  # (N, 1 or C, H, W), True on the null region
    perturbed_images: np.ndarray | None = None  # (R, N, C, H, W), [0, 1]
    perturbed_attributions: np.ndarray | None = None  # (R, N, C, H, W), raw


def read_maps(content: bytes) -> Maps:
    """Return the arrays of an NPZ file of the API; raise ValueError where some are missing."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        names = ("images", "labels", "attributions", "predicted", "confidence")
        missing = [name for name in names if name not in file]
        if missing:
            raise ValueError(f"the file of the maps lacks: {', '.join(missing)}")
        arrays = {name: file[name] for name in names}
        return Maps(
            **arrays,
            masks=file.get("masks"),
            perturbed_images=file.get("perturbed_images"),
            perturbed_attributions=file.get("perturbed_attributions"),
        )


def pooled_limit(arrays: Sequence[np.ndarray], percentile: float) -> float:
    """Return the percentile of |value| over all finite values of the arrays; 0 where there is none."""
    sizes = [np.abs(array[np.isfinite(array)]) for array in arrays]
    pooled = np.concatenate([size.ravel() for size in sizes])
    return float(np.percentile(pooled, percentile)) if pooled.size else 0.0


def filter_sign(attribution: np.ndarray, sign: str) -> np.ndarray:
    """Return the map itself, its positive or negative part, or its absolute value ("magnitude")."""
    if sign == "positive":
        return np.maximum(attribution, 0)
    if sign == "negative":
        return np.maximum(-attribution, 0)
    return np.abs(attribution) if sign == "magnitude" else attribution


def image_pixels(image: np.ndarray) -> np.ndarray:
    """Return an image (C, H, W) as (H, W, 3) uint8."""
    if image.dtype != np.uint8:
        image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)))


def mask_pixels(mask: np.ndarray) -> np.ndarray:
    """Return a mask (1 or C, H, W) as (H, W, 3) uint8, white on the null region."""
    shown = np.where(mask.any(axis=0), 255, 40).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)


def map_pixels(attribution: np.ndarray, limit: float, *, signed: bool, palette: str | None = None) -> np.ndarray:
    """Return a map (C, H, W) as (H, W, 3) uint8; values that are not numbers are grey.

    The channels are averaged, so that their number does not change the scale. Signed: −limit is dark
    blue, 0 white, limit dark red. Otherwise 0 is dark blue and limit yellow. Values beyond the limit are clipped.

    Args:
        attribution: raw values.
        limit: the value at which the colours end.
        signed: whether the colours diverge around zero.
        palette: a name of DIVERGING or SEQUENTIAL; otherwise the default of its kind.
    """
    values = channel_mean(attribution)
    finite = np.isfinite(values)
    scaled = np.where(finite, values, 0) / limit if limit > 0 else np.zeros_like(values)
    position = (np.clip(scaled, -1, 1) + 1) / 2 if signed else np.clip(np.abs(scaled), 0, 1)
    colored = _colors(position, _table(signed, palette))
    colored[~finite] = _NOT_A_NUMBER
    return colored


def channel_mean(attribution: np.ndarray) -> np.ndarray:
    """Return the mean (H, W) over the channels of a map (C, H, W), which is what is drawn."""
    return attribution.astype(float).mean(axis=0)


def overlay(pixels: np.ndarray, image: np.ndarray, opacity: float) -> np.ndarray:
    """Blend a map with its image, both (H, W, 3) uint8; opacity 1 hides the image."""
    mixed = opacity * pixels.astype(float) + (1 - opacity) * image.astype(float)
    return np.round(mixed).astype(np.uint8)


def scale_pixels(width: int, height: int, *, signed: bool, palette: str | None = None) -> np.ndarray:
    """Return the colour bar (height, width, 3), from the lowest to the highest value."""
    row = _colors(np.linspace(0, 1, width)[None], _table(signed, palette))
    return np.repeat(row, height, axis=0)


def outline(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the edges of a mask (1 or C, H, W) as lines (x0, y0, x1, y1): horizontal ones, then vertical ones."""
    inside = np.pad(mask.any(axis=0), 1)
    edges = []
    for rows, turned in ((inside, False), (inside.T, True)):
        changes = rows[1:] != rows[:-1]
        for line, cells in enumerate(changes):
            at = np.flatnonzero(np.diff(np.concatenate(([0], cells.astype(np.int8), [0]))))
            for start, end in zip(at[::2], at[1::2], strict=True):
                first, second = (int(start) - 1, line), (int(end) - 1, line)
                edges.append((*first[::-1], *second[::-1]) if turned else (*first, *second))
    return edges


def values_url(attribution: np.ndarray) -> tuple[str, float]:
    """Return a map's values for the probe: base64 of 16-bit integers row by row (−32768: not a number), and the
    value of one unit."""
    values = channel_mean(attribution)
    finite = np.isfinite(values)
    unit = float(np.abs(values[finite]).max()) / 32767 if finite.any() and values[finite].any() else 1.0
    whole = np.where(finite, np.round(np.where(finite, values, 0) / unit), -32768).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode(), unit


def _table(signed: bool, palette: str | None) -> np.ndarray:
    tables = DIVERGING if signed else SEQUENTIAL
    return tables.get(palette or "", next(iter(tables.values())))


def _colors(position: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the interpolated colours (..., 3) uint8 of positions in [0, 1]."""
    stops = np.linspace(0, 1, len(table))
    channels = [np.interp(position, stops, table[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return the pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_url(pixels: np.ndarray) -> str:
    """Return the pixels as a PNG data URL."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
