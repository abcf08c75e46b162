"""Histograms over common bins, as curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densitylab.worker.evaluations.result import Curve

BINS = 40


def histograms(sets: Sequence[np.ndarray], label: str) -> list[Curve]:
    """Return for each set of numbers the fraction in each of 40 equal bins over the range of all; x are bin centres.

    Numbers that are not finite are in no bin, but count in the total.
    """
    finite = [values[np.isfinite(values)] for values in sets]
    together = np.concatenate(finite)
    low, high = (float(together.min()), float(together.max())) if len(together) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    return [
        Curve(centres, (np.histogram(inside, edges)[0] / max(len(values), 1)).tolist(), None, None, label, "share")
        for inside, values in zip(finite, sets, strict=True)
    ]
