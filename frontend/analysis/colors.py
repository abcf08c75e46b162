"""Colours and dashes of runs and groups, distinguishable with colour-vision deficiency."""

import math
from collections.abc import Iterable

# Okabe & Ito (2008) without black and yellow, in an order whose neighbours differ most, then Tol's muted set
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#44AA99", "#AA4499")
NEUTRAL = "#5A6472"  # baselines
DASHES = ("solid", "dash", "dot", "dashdot")  # of Plotly
_PALEST = 0.6  # share of the distance to white, of λ → 0
_DARKEST = 0.42  # share of the distance to black, of λ → ∞
_LUMA = 0.24  # of the darkest shade, 0 to 1: it stands out from the dark theme's background


def palette(keys: Iterable[int]) -> dict[int, str]:
    """Return a colour for each key; equal sets of keys have equal colours."""
    return {key: PALETTE[index % len(PALETTE)] for index, key in enumerate(sorted(set(keys)))}


def lambda_shade(color: str, lambda_: float) -> str:
    """Return the colour of a method at this λ > 0: its own at 1, paler below and darker above, most of it within a
    power of ten in both directions."""
    way = math.tanh(math.log10(lambda_))
    return lighter(color, -_PALEST * way) if way < 0 else _darker(color, _DARKEST * way)


def lambda_dash(lambda_: float | None) -> str:
    """Return the dash of a group's lines: neighbours among λ in half powers of ten have different ones."""
    return DASHES[round(2 * math.log10(lambda_)) % len(DASHES)] if lambda_ else DASHES[0]


def seed_dash(seed: int | None) -> str:
    """Return the dash of a run's lines, which have the colour of its group."""
    return DASHES[(seed or 0) % len(DASHES)]


def lighter(color: str, amount: float) -> str:
    """Return the colour mixed with white, `amount` (0 to 1) of it."""
    return _hex(part + (1 - part) * amount for part in _parts(color))


def _darker(color: str, amount: float) -> str:
    """Return the colour mixed with black, as far as it stays light enough."""
    red, green, blue = _parts(color)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    share = min(amount, max(1 - _LUMA / luma, 0.0))
    return _hex(part * (1 - share) for part in (red, green, blue))


def _parts(color: str) -> list[float]:
    return [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def _hex(parts: Iterable[float]) -> str:
    return "#" + "".join(f"{round(part * 255):02X}" for part in parts)


def translucent(color: str, opacity: float) -> str:
    """Return the colour as CSS with an opacity."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
