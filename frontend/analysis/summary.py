"""A comparison in sentences: of each result, what the tests allow to say."""

from collections.abc import Mapping, Sequence

from densitylab.backend.shared.statistics.groups import Column, Group, higher_is_better, mean_over_seeds
from densitylab.backend.shared.statistics.paired_tests import ALPHA
from densitylab.backend.shared.statistics.table_tests import TableTest
from densitylab.frontend.analysis.comparison import Comparison, all_runs, short_label, text
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.analysis.tables import BEST, seeds_to_decide
from densitylab.frontend.client.catalog import Catalog

_NAMED = 3  # groups in a sentence


def summary_sentences(
    comparison: Comparison, columns: Sequence[Column], catalog: Catalog, *, preliminary: bool = False
) -> list[tuple[str, str]]:
    """Return (result, sentence) for each result that two groups have: the groups that differ from their baselines by a
    paired t test over seeds, corrected over all tests of the columns (Holm, 5 %); without baselines, the best group.
    Results with the same sentence stand together.

    Args:
        comparison: of runs.
        columns: the results.
        catalog: the API's.
        preliminary: whether further results will come. The clearest difference so far is given then without a verdict,
            since tests that are looked at again and again find differences by chance (Armitage et al. 1969), and their
            number grows with the results.
    """
    runs = all_runs(comparison)
    tests = comparison.tests(columns)
    count = _count(comparison, columns)
    best = comparison.best(columns)
    results: dict[str, list[str]] = {}  # by sentence
    for column in columns:
        if sum(mean_over_seeds(group, column) is not None for group in comparison.groups) < 2:
            continue
        own = {index: test for (index, other), test in tests.items() if other == column}
        if preliminary:
            sentence = _so_far(own, higher_is_better(runs, column), comparison)
        elif own:
            sentence = _against_baseline(own, higher_is_better(runs, column), count, comparison)
        else:
            sentence = _best(best.get(column), comparison)
        if sentence:
            results.setdefault(sentence, []).append(short_label(column, comparison, catalog))
    return [("; ".join(labels), sentence) for sentence, labels in results.items()]


def correction_text(comparison: Comparison, columns: Sequence[Column]) -> str:
    """Return over which tests the sentences and the adjusted p values of these results are corrected; "" for none."""
    count = _count(comparison, columns)
    if not count:
        return ""
    return (
        f"Differences from baselines: paired t tests by seed, Holm's correction over the {counted(count, 'test')} of "
        "all groups and results shown, 5 %."
    )


def star_text(comparison: Comparison, columns: Sequence[Column]) -> str:
    """Return what the star of a table of these results means."""
    not_undecided = "; never where a difference from a baseline is undecided" if _count(comparison, columns) else ""
    return (
        f"{BEST.strip()}: best mean, apart from all others (paired t tests by seed of the best means alone, Holm's "
        f"correction over these, 5 %){not_undecided}."
    )


def same_difference_text(
    comparison: Comparison, columns: Sequence[Column], result: Column, first: Group, second: Group
) -> str:
    """Return what the tests of these results say of the difference between two groups; "" where none of them is the
    other's baseline, or the difference is not tested."""
    tests = comparison.tests(columns)
    for group, other in ((first, second), (second, first)):
        index = comparison.index_of(group)
        tested = tests.get((index, result))
        if tested is not None and tested.p_adjusted is not None and comparison.baselines[index] is other:
            more = seeds_to_decide(tested)
            verdict = "apart from 0" if tested.established else f"undecided; {more} seeds would tell it from 0"
            count = counted(_count(comparison, columns), "test")
            return (
                f"This is one claim by itself; as one of the {count} of this page (Holm) the difference in the result "
                f"is {verdict}."
            )
    return ""


def _count(comparison: Comparison, columns: Sequence[Column]) -> int:
    return sum(test.p_adjusted is not None for test in comparison.tests(columns).values())


def _so_far(tests: Mapping[int, TableTest], higher: bool | None, comparison: Comparison) -> str:
    """Return the clearest difference; "" where no group has a seed in common with its baseline."""
    if not tests:
        return ""
    index, clearest = _clearest(tests)
    return (
        f"so far the clearest difference from the baseline is {text(clearest.test, signed=True)}"
        f"{_side(clearest, higher)} ({comparison.labels[index]}, {counted(clearest.test.n, 'seed')})."
        f"{_better_too(tests, clearest, higher, comparison)}"
    )


def _against_baseline(
    tests: Mapping[int, TableTest], higher: bool | None, tested_count: int, comparison: Comparison
) -> str:
    tested = {index: item for index, item in tests.items() if item.p_adjusted is not None}
    if not tested:
        if all(item.test.n < 2 for item in tests.values()):
            return "one seed in common with the baseline says nothing about other seeds; train at least 2."
        return "the differences from the baseline are the same for all seeds, which a t test cannot judge."
    apart = {index: item for index, item in tested.items() if item.established}
    if not apart:
        index, clearest = _clearest(tested)
        seeds = seeds_to_decide(clearest)
        more = f"; {seeds} seeds would tell it from 0" if seeds else ""
        alone = clearest.test.p is not None and clearest.test.p <= ALPHA
        corrected = f" On its own it is apart from 0, but not as one of {tested_count} tests (Holm)." if alone else ""
        return (
            f"no difference from the baseline is established with {counted(clearest.test.n, 'seed')}. The clearest is "
            f"{text(clearest.test, signed=True)}{_side(clearest, higher)} ({comparison.labels[index]}){more}."
            f"{corrected}{_better_too(tested, clearest, higher, comparison)}"
        )
    parts = []
    for words, sign in (
        (("better", True), ("worse", False)) if higher is not None else (("more", True), ("less", False))
    ):
        group = {
            index: item
            for index, item in apart.items()
            if (item.test.mean > 0) == (sign if higher is None else sign == higher)
        }
        if group:
            parts.append(f"{words} than the baseline: {_listed(group, comparison)}")
    sentence = "; ".join(parts) + "."
    rest = {index: item for index, item in tested.items() if index not in apart}
    if not rest:
        return sentence
    index, clearest = _clearest(rest)
    alone = clearest.test.p is not None and clearest.test.p <= ALPHA
    corrected = f", apart from 0 on its own but not as one of {tested_count} tests (Holm)" if alone else ""
    return (
        f"{sentence} {counted(len(rest), 'other group')} undecided; the clearest difference among them is "
        f"{text(clearest.test, signed=True)}{_side(clearest, higher)} ({comparison.labels[index]}){corrected}."
    )


def _clearest(tests: Mapping[int, TableTest]) -> tuple[int, TableTest]:
    """Return the group whose difference has the smallest p value, and its test; where none is tested or several have
    the same, that with the largest difference."""
    return min(
        tests.items(), key=lambda item: (1.0 if item[1].test.p is None else item[1].test.p, -abs(item[1].test.mean))
    )


def _better_too(
    tests: Mapping[int, TableTest], clearest: TableTest, higher: bool | None, comparison: Comparison
) -> str:
    """Return the clearest difference towards better, where that of all is towards worse; "" elsewhere."""
    better = {index: item for index, item in tests.items() if item.is_better(higher)}
    if clearest.is_better(higher) is not False or not better:
        return ""
    index, item = _clearest(better)
    return f" Towards better the clearest is {text(item.test, signed=True)} ({comparison.labels[index]})."


def _side(tested: TableTest, higher: bool | None) -> str:
    """Return the side on which the mean difference lies; "" where no direction is better."""
    return {None: "", True: ", towards better", False: ", towards worse"}[tested.is_better(higher)]


def _listed(tests: Mapping[int, TableTest], comparison: Comparison) -> str:
    strongest = sorted(tests.items(), key=lambda item: -abs(item[1].test.mean))
    named = [
        f"{comparison.labels[index]} ({text(item.test, signed=True)}, {counted(item.test.n, 'seed')})"
        for index, item in strongest[:_NAMED]
    ]
    more = len(strongest) - _NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _best(best: Group | None, comparison: Comparison) -> str:
    if best is None:
        return "no group is established as the best."
    return f"{comparison.labels[comparison.index_of(best)]} is the best, apart from all others."
