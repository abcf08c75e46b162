"""The stored result of a prior evaluation of the same model with the same method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PriorResult:
    """A result of the same run, checkpoint, data and version of the evaluation; the parameters may differ.

    Args:
        params: of the prior evaluation, complete.
        arrays: its arrays, one entry per test image.
    """

    params: dict[str, Any]
    arrays: dict[str, np.ndarray]
