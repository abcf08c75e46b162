"""One colour per run: told apart by readers who do not see all colours."""

import colorsys
from collections.abc import Iterable

# Okabe & Ito (2008) without black and yellow, in an order whose neighbours differ most, then Tol's muted set
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#44AA99", "#661100")
_LIGHTER = (0.0, 0.22, 0.42)  # of the distance to white: runs of one group, seed by seed


def palette(keys: Iterable[int]) -> dict[int, str]:
    """A colour for each key, the same for the same set of keys."""
    return {key: PALETTE[place % len(PALETTE)] for place, key in enumerate(sorted(set(keys)))}


def shades(color: str, keys: Iterable[int]) -> dict[int, str]:
    """Shades of one colour for the runs of one group."""
    return {key: lighter(color, _LIGHTER[place % len(_LIGHTER)]) for place, key in enumerate(sorted(set(keys)))}


def lighter(color: str, amount: float) -> str:
    """The colour moved by `amount` (0 to 1) of its distance to white, its hue kept."""
    red, green, blue = (int(color[start:start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    mixed = colorsys.hls_to_rgb(hue, lightness + (1 - lightness) * amount, saturation)
    return "#" + "".join(f"{round(part * 255):02X}" for part in mixed)


def translucent(color: str, opacity: float) -> str:
    red, green, blue = (int(color[start:start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
