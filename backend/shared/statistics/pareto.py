"""Points that others dominate; the rest is the Pareto front."""

from collections.abc import Sequence


def dominated(points: Sequence[Sequence[float]], higher: Sequence[bool]) -> list[bool]:
    """Return for each point whether another one is at least as good in every value and better in one.

    Args:
        points: the same number of values each.
        higher: for each value whether more is better.
    """
    scores = [[value if more else -value for value, more in zip(point, higher, strict=True)] for point in points]
    return [
        any(other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True)) for other in scores)
        for own in scores
    ]
