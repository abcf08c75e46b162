"""Which groups to prefer: the Pareto set of two results, and the best of each regularizer at matched accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backend.shared.contracts import Status
from frontend.aggregate import Column, Estimate, Group, estimate, mean_over_seeds

VALIDATION = "validation_accuracy"
_HAIR = 1e-9  # above the limit, so that a loss of exactly it is within


@dataclass(frozen=True)
class Match:
    """One regularizer's best group among those within the accuracy loss of its baseline."""

    regularizer: str  # the catalog's key
    group: Group | None  # None: none is within the loss
    accuracy: Estimate | None  # of the group, on the split of `selected_on`
    loss: float | None  # the baseline's accuracy minus the group's
    result: Estimate | None
    within: int  # groups within the loss
    candidates: int  # groups whose accuracy and result are known
    selected_on: Literal["validation", "test"]  # where accuracy was compared


def dominated(points: Sequence[tuple[float, float]], higher: tuple[bool, bool]) -> list[bool]:
    """Whether another point is at least as good in both directions and better in one.

    Args:
        points: (x, y) pairs.
        higher: whether more is better, of x and of y.
    """
    signs = tuple(1 if more else -1 for more in higher)
    scores = [(signs[0] * x, signs[1] * y) for x, y in points]
    return [
        any(other[0] >= score[0] and other[1] >= score[1] and other != score for other in scores) for score in scores
    ]


def validation_accuracy(group: Group) -> Estimate | None:
    """Mean over the seeds of the accuracy on the validation split at the end of training."""
    return estimate([run.metrics[VALIDATION] for run in group.runs
                     if run.status is Status.SUCCEEDED and VALIDATION in run.metrics])


def strongest_within(groups: Sequence[Group], baseline: Group, *, max_loss: float) -> Group | None:
    """The group of largest λ whose validation accuracy is at most `max_loss` below the baseline's: no test image
    has a say. None where there is none, or where a validation accuracy is missing."""
    reference = validation_accuracy(baseline)
    if reference is None:
        return None
    within = [group for group in groups if (own := validation_accuracy(group))
              and reference.mean - own.mean <= max_loss + _HAIR]
    return max(within, key=lambda group: float(group.settings["lambda_"]), default=None)


def matched(
    groups: Sequence[Group], baseline: Group, result: Column, accuracy: Column | None, *,
    max_loss: float, higher: bool,
) -> list[Match]:
    """The best of each regularizer among its groups that lose at most `max_loss` accuracy against the baseline.

    Accuracies are compared on the validation split; on the test split where a group or the baseline has none there.

    Args:
        groups: the groups that share the baseline.
        baseline: what the loss is counted from.
        result: what is to be best.
        accuracy: the accuracy on the test split, for groups without validation.
        max_loss: in accuracy, 0 to 1.
        higher: whether more of the result is better.

    Returns:
        One match per regularizer, in the order of the groups; without one whose accuracy or result is unknown.
    """
    by_regularizer: dict[str, list[Group]] = {}
    for group in groups:
        if group is not baseline and not group.is_baseline:
            by_regularizer.setdefault(str(group.settings["regularizer.key"]), []).append(group)
    on_validation = all(validation_accuracy(group) for group in groups if group.by_seed.get(result))
    split: Literal["validation", "test"] = "validation" if on_validation else "test"

    def accuracy_of(group: Group) -> Estimate | None:
        if on_validation:
            return validation_accuracy(group)
        return mean_over_seeds(group, accuracy) if accuracy else None

    reference = accuracy_of(baseline)
    if reference is None:
        return []
    found = []
    for regularizer, members in by_regularizer.items():
        known = [(group, own, value) for group in members
                 if (own := accuracy_of(group)) and (value := mean_over_seeds(group, result))]
        within = [item for item in known if reference.mean - item[1].mean <= max_loss + _HAIR]
        if within:
            group, own, value = max(within, key=lambda item: item[2].mean if higher else -item[2].mean)
            found.append(Match(regularizer, group, own, reference.mean - own.mean, value, len(within), len(known),
                               split))
        elif known:
            found.append(Match(regularizer, None, None, None, None, 0, len(known), split))
    return found


def selection_words(rows: Sequence[Match]) -> str:
    """On which images the choice was made."""
    splits = {row.selected_on for row in rows}
    where = "Accuracy selected on validation." if splits == {"validation"} else (
        "Accuracy selected on test: not every run has a validation accuracy.")
    return (f"{where} Among the groups within the loss the best mean of the result was taken, which is measured on "
            "the test images (selected on test), and so is a little flattering.")
