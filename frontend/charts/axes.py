"""Axes of numbers: they end where values can, and have powers of ten in place of SI prefixes."""

import math
from typing import Any

from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds


def number_axis(label: str, bounds: Bounds = UNBOUNDED, *, log: bool = False) -> dict[str, Any]:
    """Return the layout of an axis, as plotly.js has it. Its automatic range stays within the bounds of the values; a
    logarithmic axis has none."""
    low, high = bounds
    ends = {"clipmin": low} if math.isfinite(low) else {}
    ends |= {"clipmax": high} if math.isfinite(high) else {}
    return {
        "title": {"text": label, "standoff": 6},
        "type": "log" if log else "linear",
        "automargin": True,
        "exponentformat": "power",
        **({"autorangeoptions": ends} if ends and not log else {}),
    }
