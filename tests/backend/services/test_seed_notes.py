"""The sentence on what the seeds of a launch allow to find."""

import math
import random

import pytest
from scipy import stats

from densitylab.backend.services.estimates.seed_notes import least_difference, note
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Component, EvaluationSpec, RunSpec

CATALOG = Catalog.built_in()


def planned(lambdas: list[float], seeds: int, *evaluations: str, dataset: str = "blockmnist") -> list[RunSpec]:
    return [
        RunSpec(
            dataset=Component(key=dataset),
            lambda_=value,
            seed=seed,
            evaluations=[EvaluationSpec(key=key) for key in evaluations],
        )
        for value in lambdas
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("seeds", "tests"), [(2, 1), (2, 6), (3, 4), (5, 12)])
def test_the_least_difference_is_that_of_the_t_test(seeds: int, tests: int):
    chance = random.Random(seeds)
    values = [chance.gauss(0, 1) for _ in range(seeds)]
    mean = sum(values) / seeds
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (seeds - 1))
    least = least_difference(seeds, tests) * spread
    moved = [value - mean + least for value in values]
    assert stats.ttest_1samp(moved, 0.0).pvalue == pytest.approx(0.05 / tests)


def test_a_launch_says_what_its_seeds_allow_to_find():
    assert note(planned([0.0, 1.0], 1), CATALOG) == (
        "One seed says nothing about other seeds: no difference from λ = 0 can be tested. Train at least 3."
    )
    assert note(planned([0.0, 1.0], 2), CATALOG) == (
        "With 2 seeds only a large difference from λ = 0 can be established: at least 9 times its standard "
        "deviation over seeds. With 5 seeds 1.2 times is enough."
    )
    assert note(planned([0.0, 1.0, 10.0, 100.0], 3), CATALOG) == (
        "With 3 seeds only a large difference from λ = 0 can be established: at least 4.4 times its standard "
        "deviation over seeds, since 3 are tested together. With 5 seeds 1.8 times is enough."
    )
    assert note(planned([0.0, 1.0], 3, "accuracy", "pgd_linf"), CATALOG) == (
        "With 3 seeds only a large difference from λ = 0 can be established: at least "
        f"{least_difference(3, 2):.2g} times its standard deviation over seeds, since 2 are tested together. "
        "With 5 seeds 1.6 times is enough."
    )


def test_it_counts_the_tests_of_the_default_table():
    told = note(planned([0.0, 1.0, 10.0], 3, "accuracy", "groups", "pgd_linf", dataset="textured_digits"), CATALOG)
    assert told is not None and ", since 8 are tested together (2 groups × 4 results). " in told
    assert f"{least_difference(5, 8):.2g} times is enough." in told


def test_it_says_nothing_where_there_is_no_question():
    assert note(planned([0.0, 1.0], 5), CATALOG) is None
    assert note(planned([1.0, 10.0], 2), CATALOG) is None
    assert note(planned([0.0], 2), CATALOG) is None
