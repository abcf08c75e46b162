"""Colours of runs and groups, distinguishable with colour-vision deficiency."""

import colorsys
from collections.abc import Iterable

# Okabe & Ito (2008) without black and yellow, in an order whose neighbours differ most, then Tol's muted set
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#44AA99", "#661100")
_LIGHTER = (0.0, 0.22, 0.42)  # share of the distance to white, for the seeds of a group


def palette(keys: Iterable[int]) -> dict[int, str]:
    """Return a colour for each key; equal sets of keys have equal colours."""
    return {key: PALETTE[index % len(PALETTE)] for index, key in enumerate(sorted(set(keys)))}


def shades(color: str, keys: Iterable[int]) -> dict[int, str]:
    """Return shades of a colour for the runs of a group."""
    return {key: lighter(color, _LIGHTER[index % len(_LIGHTER)]) for index, key in enumerate(sorted(set(keys)))}


def lighter(color: str, amount: float) -> str:
    """Return the colour moved towards white by `amount` (0 to 1), with the same hue."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    mixed = colorsys.hls_to_rgb(hue, lightness + (1 - lightness) * amount, saturation)
    return "#" + "".join(f"{round(part * 255):02X}" for part in mixed)


def translucent(color: str, opacity: float) -> str:
    """Return the colour as CSS with an opacity."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
