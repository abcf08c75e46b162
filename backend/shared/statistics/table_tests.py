"""Tests of a whole table: which groups differ from their baselines, and which group is the best of each result."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.statistics.groups import Column, Group, difference, mean_over_seeds
from densitylab.backend.shared.statistics.paired_tests import ALPHA, PairedTest, holm

UndecidedPair = tuple[frozenset[int], Column]  # two groups by `id`, and the result in which they may be equal


@dataclass(frozen=True)
class TableTest:
    """A test of a table, with its p value adjusted for all tests of the table."""

    test: PairedTest
    p_adjusted: float | None  # None: not tested
    level: float = ALPHA  # that the next difference of the table must reach to be established

    @property
    def established(self) -> bool:
        """Return whether the difference is apart from zero as one of all tests of the table."""
        return self.p_adjusted is not None and self.p_adjusted <= ALPHA

    def is_better(self, higher: bool | None) -> bool | None:
        """Return whether the mean difference lies on the better side; None where it is 0, or no direction is better."""
        return None if higher is None or self.test.mean == 0 else (self.test.mean > 0) == higher

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would find the difference with probability 0.8 at the corrected level; None: not known, or too
        many."""
        return self.test.seeds_needed(alpha=self.level)


def against_baseline(
    groups: Sequence[Group | None], baselines: Sequence[Group | None], columns: Sequence[Column]
) -> dict[tuple[int, Column], TableTest]:
    """Return the test of each group against its baseline by index and column, corrected together (Holm).

    Rows without a group or a baseline are left out. The level of all tests is 5 % over the number of those that are not
    established, which is Holm's for the first of these.
    """
    tests = {
        (index, column): test
        for index, (group, baseline) in enumerate(zip(groups, baselines, strict=True))
        for column in columns
        if group is not None and baseline is not None and (test := difference(group, baseline, column))
    }
    known = [key for key, test in tests.items() if test.p is not None]
    adjusted = dict(zip(known, holm([tests[key].p or 0.0 for key in known]), strict=True))
    level = ALPHA / max(sum(p > ALPHA for p in adjusted.values()), 1)
    return {key: TableTest(test, adjusted.get(key), level) for key, test in tests.items()}


def undecided_pairs(
    groups: Sequence[Group], baselines: Sequence[Group | None], tests: Mapping[tuple[int, Column], TableTest]
) -> set[UndecidedPair]:
    """Return the groups and baselines whose difference the tests of `against_baseline` do not establish."""
    return {
        (frozenset((id(groups[index]), id(baselines[index]))), column)
        for (index, column), tested in tests.items()
        if not tested.established
    }


def best_groups(
    groups: Sequence[Group],
    columns: Mapping[Column, bool | None],
    undecided_pairs: Collection[UndecidedPair] = (),
) -> dict[Column, int]:
    """Return the index of each column's best group; columns whose best mean is not apart from all others are left out.

    The best mean is tested against every other group of its column, paired by seed. All these tests of the table are
    corrected together (Holm): if no two groups differ, a table has a best group with a probability of at most 5 %.
    They are no part of the tests against baselines, since the results choose the group that they are about.
    A group of one seed, or one that shares fewer than two seeds with another, is never the best.

    Args:
        groups: the rows of the table.
        columns: its results, each with whether higher is better; None: neither, so none is the best.
        undecided_pairs: groups that other tests do not tell apart, so that none of the two is the best.
    """
    tops: dict[Column, int] = {}
    p_values: list[float] = []
    tested: list[Column] = []
    undecided: set[Column] = set()
    for column, higher in columns.items():
        means = {index: mean.mean for index, group in enumerate(groups) if (mean := mean_over_seeds(group, column))}
        if higher is None or len(means) < 2:
            continue
        top = max(means, key=lambda index: means[index] if higher else -means[index])
        tops[column] = top
        for index in means:
            if index != top:
                test = difference(groups[top], groups[index], column)
                if (frozenset((id(groups[top]), id(groups[index]))), column) in undecided_pairs:
                    undecided.add(column)
                if test is None or test.p is None:
                    undecided.add(column)
                else:
                    tested.append(column)
                    p_values.append(test.p if (test.mean > 0) == higher else 1.0)
    undecided |= {column for column, p in zip(tested, holm(p_values), strict=True) if p > ALPHA}
    return {column: top for column, top in tops.items() if column not in undecided}
