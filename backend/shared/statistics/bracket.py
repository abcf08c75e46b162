"""Search for λ by half decades: what comes next, from the λ tried so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_TOLERANCE = 1e-9  # a loss of exactly the budget is within it
LOWEST, HIGHEST = -12, 12  # half decades: λ from 1e-6 to 1e6


@dataclass(frozen=True)
class Tried:
    """A λ of one method with its means over seeds on validation images; None: its runs failed."""

    half_decades: float  # λ = 10^(half_decades / 2)
    accuracy: float | None
    value: float | None

    @property
    def lambda_(self) -> float:
        return lambda_of(self.half_decades)


@dataclass(frozen=True)
class Next:
    """The positions to try next, none once the method is done, and why."""

    half_decades: list[float]
    reason: str

    @property
    def done(self) -> bool:
        return not self.half_decades


def lambda_of(half_decades: float) -> float:
    """Return λ with three significant digits, as people write it: 0.0316, 0.1, 0.316."""
    return float(f"{10 ** (half_decades / 2):.3g}")


def within_budget(tried: Tried, baseline: float, max_loss: float) -> bool:
    """Return whether the mean accuracy is at most `max_loss` below the baseline's; a λ whose runs failed is not."""
    return tried.accuracy is not None and baseline - tried.accuracy <= max_loss + _TOLERANCE


def best_within(tried: Sequence[Tried], *, baseline: float, max_loss: float, higher: bool) -> Tried | None:
    """Return the λ with the best value among those within the budget, of equal ones the smallest; None: there is
    none."""
    known = [item for item in sorted(tried, key=lambda item: item.half_decades) if item.value is not None]
    within = [item for item in known if within_budget(item, baseline, max_loss)]
    return max(within, key=lambda item: _score(item, higher), default=None)


def extend(
    tried: Sequence[Tried],
    *,
    baseline: float,
    max_loss: float,
    higher: bool,
    max_candidates: int,
    highest: float = HIGHEST,
) -> Next:
    """Return the next λ of a method, half a decade beyond those tried.

    Upwards until a λ costs more accuracy than the budget, downwards until the best λ within the budget has a smaller
    neighbour (docs/statistics.md).

    Args:
        tried: at least one λ, all done.
        baseline: mean validation accuracy of the baseline, 0 to 1.
        max_loss: the accuracy budget, 0 to 1.
        higher: whether more of the value is better.
        max_candidates: largest number of λ.
        highest: largest position that the method allows.
    """
    ordered = sorted(tried, key=lambda item: item.half_decades)
    low, high = ordered[0], ordered[-1]
    best = best_within(tried, baseline=baseline, max_loss=max_loss, higher=higher)
    further: list[float] = []
    reasons = []
    if within_budget(high, baseline, max_loss):
        if high.half_decades + 1 > highest:
            reasons.append(f"λ = {high.lambda_:g}, the largest allowed, is still within the accuracy budget")
        else:
            further.append(high.half_decades + 1)
            reasons.append(f"λ = {high.lambda_:g}, the largest tried, is still within the accuracy budget")
    if best is None or best is low:
        what = (
            "no λ is within the accuracy budget"
            if best is None
            else f"λ = {best.lambda_:g}, the smallest tried, is the best within the accuracy budget"
        )
        reasons.append(what)
        if low.half_decades - 1 >= LOWEST:
            further.append(low.half_decades - 1)
    room = max_candidates - len(tried)
    if further and room < 1:
        return Next([], f"{_joined(reasons)}, but {max_candidates} λ are the most for one method.")
    if further or best is None or reasons:
        return Next(sorted(further[:room]), f"{_joined(reasons)}.")
    return Next([], f"λ = {best.lambda_:g} is the best within the accuracy budget, which larger λ cross.")


def refine(tried: Sequence[Tried], *, baseline: float, max_loss: float, higher: bool) -> Next:
    """Return a λ between the best one and a neighbour, in the wider of the two gaps, of equal ones the upper."""
    best = best_within(tried, baseline=baseline, max_loss=max_loss, higher=higher)
    if best is None:
        return Next([], "No λ is within the accuracy budget.")
    positions = sorted(item.half_decades for item in tried)
    gaps = [
        (upper - lower, upper, lower) for lower, upper in pairwise(positions) if best.half_decades in (lower, upper)
    ]
    wanted = [(lower + upper) / 2 for _, upper, lower in sorted(gaps, reverse=True)]
    taken = {item.lambda_ for item in tried}
    between = next((position for position in wanted if lambda_of(position) not in taken), None)
    if between is None:
        return Next([], f"λ = {best.lambda_:g} has no room between its neighbours.")
    return Next(
        [between], f"Other methods have more λ: one more beside λ = {best.lambda_:g}, the best within the budget."
    )


def _score(item: Tried, higher: bool) -> float:
    assert item.value is not None
    return item.value if higher else -item.value


def _joined(reasons: Sequence[str]) -> str:
    return ", and ".join(reasons).replace("no λ", "No λ", 1)
