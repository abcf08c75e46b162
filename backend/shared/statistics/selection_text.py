"""The selected λ in words: the warnings of a row, and how λ were selected."""

from collections.abc import Sequence

from densitylab.backend.shared.statistics.groups import Column, mean_over_seeds
from densitylab.backend.shared.statistics.selection import ENOUGH_SEEDS, Edge, Selection


def edge_text(edge: Edge | None) -> str:
    """Return the warning of a λ at an end of its grid; "" where it has both neighbours."""
    if edge is None:
        return ""
    if edge == "only":
        return "the only λ with results"
    if edge == "lowest":
        return "the lowest λ tried: a smaller one may be better"
    return "the highest λ tried: a larger one, where the method allows it, may be better"


def seeds_text(row: Selection, result: Column) -> str:
    """Return the warning of a selected λ that has fewer seeds than another λ of its method and was not compared with it
    on the same ones; "" where there is none."""
    if row.common_seeds is not None:
        return ""
    seeds = {id(group): mean.n for group in row.method.groups if (mean := mean_over_seeds(group, result))}
    own, most = seeds.get(id(row.group), 0), max(seeds.values(), default=0)
    return f"{own} of the {most} seeds of another λ: chance favours the best of few seeds" if 0 < own < most else ""


def few_seeds_text(row: Selection) -> str:
    """Return which λ are no candidates for their few seeds; "" where there are none."""
    if not row.few_seeds:
        return ""
    lambdas = ", ".join(f"{group.settings['lambda_']:g}" for group in row.few_seeds)
    return f"λ {lambdas} left out: fewer than {ENOUGH_SEEDS} seeds, and fewer than another λ"


def near_miss_text(row: Selection) -> str:
    """Return which λ with a better result may be within the limits; "" where there is none."""
    if row.near_miss is None:
        return ""
    loss, lambda_, limit = row.near_miss.loss, row.near_miss.group.settings["lambda_"], 100 * row.near_miss.limit
    interval = "" if loss.low is None or loss.high is None else f" ({100 * loss.low:.2g} to {100 * loss.high:.2g})"
    what = "points of accuracy lost" if row.near_miss.limited == "accuracy" else "points worse in the second result"
    return (
        f"λ {lambda_:g} has a better result and may be within the limit of {limit:g} point{'' if limit == 1 else 's'}: "
        f"{100 * loss.mean:.2g}{interval} {what}"
    )


def unselected_text(row: Selection) -> str:
    """Return why no λ of the method is selected: how far the nearest one is from a limit; "" where one is."""
    if row.least_worse is not None and row.constrained is not None:
        return (
            f"the second result is at least {100 * row.least_worse:.2g} points worse ({row.constrained.split} images)"
        )
    if row.least_loss is None:
        return ""
    return (
        f"the accuracy is at least {100 * row.least_loss:.2g} points below the baseline's ({row.accuracy_split} images)"
    )


def selection_text(rows: Sequence[Selection]) -> str:
    """Return the sentences that say how, and on which images, the λ were selected."""
    splits = {split for row in rows for split in (row.accuracy_split, row.result_split)}
    splits |= {row.constrained.split for row in rows if row.constrained}
    limited = any(row.constrained for row in rows)
    limits = "the accuracy budget and the limit of the second result" if limited else "the accuracy budget"
    parts = [
        f"Of each method the λ with the best mean result among those within {limits}"
        + (
            f", {'all' if limited else 'both'} on validation images; the figures beside it are of the test images."
            if splits == {"validation"}
            else "."
        )
    ]
    if any(row.accuracy_split == "test" for row in rows):
        parts.append("Accuracy was compared on the test images, since not every run has a validation accuracy.")
    if any(row.result_split == "test" for row in rows):
        parts.append(
            "The result was compared on the test images, since not every run has it on validation images: the "
            "selected figures are slightly optimistic."
        )
    if any(row.constrained and row.constrained.split == "test" for row in rows):
        parts.append(
            "The second result was compared on the test images, since not every run has it on validation images."
        )
    if any(row.few_seeds for row in rows):
        parts.append(
            f"A λ with fewer than {ENOUGH_SEEDS} seeds is no candidate where another λ of its method has more."
        )
    if any(row.common_seeds and row.selected_by and row.common_seeds < row.selected_by.n for row in rows):
        parts.append("λ of a method are compared on the seeds that all of them have.")
    if any(row.edge for row in rows):
        parts.append("A λ at an end of its grid may not be the method's best.")
    if len({row.candidates for row in rows}) > 1:
        parts.append("Methods with more candidates have more chances.")
    return " ".join(parts)
