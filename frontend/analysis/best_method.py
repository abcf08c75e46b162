"""The methods at their selected λ in a sentence: which one is the best, and from which others it is apart."""

from collections.abc import Sequence

from densitylab.backend.shared.statistics.groups import Column, Group, higher_is_better
from densitylab.backend.shared.statistics.selection import Selection
from densitylab.backend.shared.statistics.table_tests import TableTest, against_baseline
from densitylab.frontend.analysis.comparison import Comparison, all_runs, short_label, text
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.analysis.selection_rule import SelectionRule, select_lambda
from densitylab.frontend.analysis.tables import seeds_to_decide
from densitylab.frontend.client.catalog import Catalog

_FEWEST, _MOST = 2, 10  # seeds: at least so many more, and at most so many in all unless there are more already


def best_method_text(
    rows: Sequence[Selection], comparison: Comparison, result: Column, *, preliminary: bool = False
) -> str:
    """Return the method that is the best by what λ were selected by, and its differences from the others on the test
    images: paired t tests by seed, corrected together (Holm, 5 %); or that it alone is within the limits. "" where no
    method has a λ, or there is one alone.

    Args:
        rows: the best first.
        comparison: the groups.
        result: by which λ were selected.
        preliminary: whether runs are unfinished; nothing is tested meanwhile.
    """
    selected = [row.group for row in rows if row.group is not None]
    if len(rows) < 2 or not selected:
        return ""
    best, *others = selected

    def named(group: Group) -> str:
        return comparison.labels[comparison.index_of(group)]

    if preliminary:
        return f"So far selected as the best: {named(best)}. It is compared with the others once all runs are done."
    if not others:
        return f"Of {len(rows)} methods only one has a λ within the limits: {named(best)}."
    higher = bool(higher_is_better(all_runs(comparison), result))
    tests = against_baseline([best] * len(others), others, [result])
    against = [(other, tests.get((index, result))) for index, other in enumerate(others)]

    def listed(words: str, wanted: bool | None) -> str:
        found = [f"{named(other)}{_difference(test)}" for other, test in against if _is_better(test, higher) is wanted]
        return f" {words} {', '.join(found)}." if found else ""

    return (
        f"Selected as the best: {named(best)}."
        + listed("It is better than", True)
        + listed("It is worse than", False)
        + listed("Undecided against", None)
        + f" Differences on test images, {counted(len(others), 'test')} corrected together (Holm)."
    )


def selected_text(
    comparison: Comparison, rule: SelectionRule, catalog: Catalog, *, preliminary: bool
) -> tuple[str, str]:
    """Return the rule in words, and the λ that it selects or the best method with its λ; "" where it selects none."""
    rows = select_lambda(comparison, rule)
    selected = [row.group for row in rows if row.group is not None]
    words = best_method_text(rows, comparison, rule.result, preliminary=preliminary)
    if not words and selected:
        words = f"Selected{' so far' if preliminary else ''}: {comparison.labels[comparison.index_of(selected[0])]}."
    result = short_label(rule.result, comparison, catalog)
    images = " and ".join(sorted({row.accuracy_split for row in rows if row.group is not None}))
    return f"Best {result} at ≤ {100 * rule.max_loss:g} points accuracy loss on {images} images", words


def seeds_to_add(rows: Sequence[Selection], result: Column) -> list[int]:
    """Return new seeds for the selected λ: as many as would decide their differences from the best of them and from
    their baselines, up to ten in all; two where all are decided, or the number is not known. None for models that were
    trained elsewhere.

    Args:
        rows: the best first, each with a λ.
        result: by which λ were selected.
    """
    selected = [row.group for row in rows if row.group is not None]
    seeds = {seed for group in selected for seed in group.seeds}
    if not seeds:
        return []
    best, *others = selected
    baselines = [row.baseline for row in rows]
    tests = against_baseline([*[best] * len(others), *selected], [*others, *baselines], [result]).values()
    undecided = [test for test in tests if test.p_adjusted is not None and not test.established]
    needed = max((test.seeds_needed or _MOST for test in undecided), default=0)
    more = max(min(needed, _MOST) - len(seeds), _FEWEST)
    return list(range(max(seeds) + 1, max(seeds) + 1 + more))


def _is_better(test: TableTest | None, higher: bool) -> bool | None:
    """Return whether the difference is established on the better or the worse side; None: it is undecided."""
    return test.is_better(higher) if test is not None and test.established else None


def _difference(test: TableTest | None) -> str:
    """Return the difference in parentheses, and how many seeds would decide it."""
    if test is None:
        return " (no seed in common)"
    needed = seeds_to_decide(test)
    return f" ({text(test.test, signed=True)}{f'; {needed} seeds would decide' if needed else ''})"
