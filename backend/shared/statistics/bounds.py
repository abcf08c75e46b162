"""The range that a result or a curve of the training cannot leave, such as 0 to 1 for a share."""

import math
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

Bounds = tuple[float, float]
BoundsOf = Callable[[str, str], Bounds]  # by the key of an evaluation and the name of one of its values or curves

UNBOUNDED: Bounds = (-math.inf, math.inf)
SHARE: Bounds = (0.0, 1.0)
_ROUNDING = 1e-6  # of values at a bound
_SHARES_OF_TRAINING = ("*accuracy", "*worst_group", "*robust_share")


class ValueRange(Protocol):
    """The range of the values whose names match a pattern, as an entry of the catalog states it."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def bounds_of(name: str, ranges: Iterable[ValueRange]) -> Bounds:
    """Return the bounds of a value or a curve of an evaluation: those of the first range that has its name."""
    own = next((item for item in ranges if _matches(name, item.names)), None)
    if own is None:
        return UNBOUNDED
    return -math.inf if own.low is None else own.low, math.inf if own.high is None else own.high


def unbounded(evaluation: str, name: str) -> Bounds:
    """Return no bounds, for any result."""
    return UNBOUNDED


def bounds_of_curve(name: str) -> Bounds:
    """Return the bounds of a curve of the training."""
    return SHARE if _matches(name, _SHARES_OF_TRAINING) else UNBOUNDED


def clipped(low: float, high: float, values: Sequence[float], bounds: Bounds) -> tuple[float, float]:
    """Return the ends of an interval around the mean of values, moved into the bounds; as they are where a value lies
    beyond the bounds, which then are wrong."""
    if min(values) < bounds[0] - _ROUNDING or max(values) > bounds[1] + _ROUNDING:
        return low, high
    return max(low, min(bounds[0], *values)), min(high, max(bounds[1], *values))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
