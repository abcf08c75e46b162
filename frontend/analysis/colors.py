"""Colours of runs and groups, distinguishable with colour-vision deficiency."""

import colorsys
import math
from collections.abc import Iterable

# Okabe & Ito (2008) without black and yellow, in an order whose neighbours differ most, then Tol's muted set
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#44AA99", "#661100")
NEUTRAL = "#5A6472"  # baselines
_PALEST = 0.7  # share of the distance to white, of the smallest λ
_STRONGEST, _DECADES = 1.0, 3.0  # λ of the full colour, and the powers of ten below it that become paler


def palette(keys: Iterable[int]) -> dict[int, str]:
    """Return a colour for each key; equal sets of keys have equal colours."""
    return {key: PALETTE[index % len(PALETTE)] for index, key in enumerate(sorted(set(keys)))}


def lambda_shade(color: str, lambda_: float) -> str:
    """Return the colour of a method at this λ > 0: paler below 1, by the same amount for each power of ten."""
    below = (math.log10(_STRONGEST) - math.log10(lambda_)) / _DECADES
    return lighter(color, _PALEST * min(max(below, 0.0), 1.0))


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
