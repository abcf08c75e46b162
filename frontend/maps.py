"""From arrays to pictures: images, masks, and maps on one shared colour scale. No Streamlit in here."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

# ColorBrewer's RdBu (11 classes), blue first: negative is blue, zero white, positive red
_DIVERGING = np.array([
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
], dtype=float)
# Cividis (Nuñez, Anderton, Renslow 2018), sampled: perceptually uniform, for magnitudes
_SEQUENTIAL = np.array([
    (0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115), (138, 134, 120), (165, 156, 116),
    (195, 179, 105), (225, 204, 85), (254, 232, 56),
], dtype=float)
_NOT_A_NUMBER = (128, 128, 128)


@dataclass(frozen=True)
class Maps:
    """The arrays of an attribution: R runs, N images, C channels of H × W pixels."""

    images: np.ndarray  # (N, C, H, W), uint8 or [0, 1]
    labels: np.ndarray  # (N,)
    attributions: np.ndarray  # (R, N, C, H, W), raw
    predicted: np.ndarray  # (R, N)
    confidence: np.ndarray  # (R, N)
    masks: np.ndarray | None  # (N, 1 or C, H, W), True on the null part


def read_maps(content: bytes) -> Maps:
    """The arrays of an NPZ file of the API. Raises ValueError where they are of another form."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        names = ("images", "labels", "attributions", "predicted", "confidence")
        missing = [name for name in names if name not in file]
        if missing:
            raise ValueError(f"the file of the maps lacks: {', '.join(missing)}")
        arrays = {name: file[name] for name in names}
        return Maps(**arrays, masks=file.get("masks"))


def image_pixels(image: np.ndarray) -> np.ndarray:
    """(C, H, W) as (H, W, 3) uint8."""
    if image.dtype != np.uint8:
        image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)))


def mask_pixels(mask: np.ndarray) -> np.ndarray:
    """(1 or C, H, W) as (H, W, 3) uint8: white on the null part."""
    shown = np.where(mask.any(axis=0), 255, 40).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)


def map_pixels(attribution: np.ndarray, limit: float, *, signed: bool) -> np.ndarray:
    """A map (C, H, W) as (H, W, 3) uint8; what is not a number is grey.

    The channels are averaged, so that no pixel can pass the limit by their number alone. Signed: −limit is dark
    blue, 0 white, limit dark red. Otherwise 0 is dark blue and limit yellow. Values beyond the limit are clipped.
    """
    values = attribution.astype(float).mean(axis=0)
    finite = np.isfinite(values)
    scaled = np.where(finite, values, 0) / limit if limit > 0 else np.zeros_like(values)
    table = _DIVERGING if signed else _SEQUENTIAL
    position = (np.clip(scaled, -1, 1) + 1) / 2 if signed else np.clip(np.abs(scaled), 0, 1)
    colored = _colors(position, table)
    colored[~finite] = _NOT_A_NUMBER
    return colored


def scale_pixels(width: int, height: int, *, signed: bool) -> np.ndarray:
    """The colour bar (height, width, 3), from its lowest to its highest value."""
    row = _colors(np.linspace(0, 1, width)[None], _DIVERGING if signed else _SEQUENTIAL)
    return np.repeat(row, height, axis=0)


def _colors(position: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Colours (..., 3) uint8 for positions in [0, 1], interpolated between the table's."""
    places = np.linspace(0, 1, len(table))
    channels = [np.interp(position, places, table[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_url(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
