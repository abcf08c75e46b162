"""Schedules of the learning rate against their formulas, and in training."""

from math import cos, pi

import pytest

from densitylab.worker.lr_schedules.constant import constant
from densitylab.worker.lr_schedules.cosine import cosine
from densitylab.worker.lr_schedules.step import step

TOTAL = 100


@pytest.mark.parametrize("schedule", [constant, cosine, step])
def test_a_warm_up_grows_linearly_to_the_whole_rate(schedule):
    factors = [schedule(now, TOTAL, warm_up=0.2) for now in range(1, 21)]
    assert factors == pytest.approx([now / 20 for now in range(1, 21)])


def test_constant_is_1_throughout():
    assert {constant(now, TOTAL) for now in range(1, TOTAL + 1)} == {1.0}


def test_cosine_goes_from_1_to_its_end_along_half_a_cosine():
    factors = [cosine(now, TOTAL, end=0.1) for now in range(1, TOTAL + 1)]
    expected = [0.1 + 0.9 * (1 + cos(pi * (now - 1) / 99)) / 2 for now in range(1, TOTAL + 1)]
    assert factors == pytest.approx(expected)
    assert factors[0] == 1 and factors[-1] == pytest.approx(0.1)


def test_cosine_falls_over_what_the_warm_up_leaves():
    factors = [cosine(now, TOTAL, warm_up=0.2) for now in range(20, TOTAL + 1)]
    assert factors[0] == 1 and factors[40] == pytest.approx(0.5) and factors[-1] == pytest.approx(0, abs=1e-12)
    assert factors == sorted(factors, reverse=True)


def test_step_multiplies_at_each_point():
    factors = [step(now, TOTAL, at=(0.5, 0.75), factor=0.1) for now in (1, 50, 51, 75, 76, 100)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("schedule", [constant, cosine])
def test_a_run_of_one_step_has_the_whole_rate(schedule):
    assert schedule(1, 1) == 1 and schedule(1, 1, warm_up=1.0) == 1
