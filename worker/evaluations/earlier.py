"""What an earlier evaluation of the same model by the same measure kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Earlier:
    """Same run, checkpoint, data and version of the measure; the parameters may differ.

    Args:
        params: of the earlier evaluation, complete.
        arrays: what it kept per test image.
    """

    params: dict[str, Any]
    arrays: dict[str, np.ndarray]
