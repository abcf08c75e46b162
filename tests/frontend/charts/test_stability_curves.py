"""Curves of stability from the evaluations that were taken: which belong together, and what is drawn of them."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import Component, Evaluation, Status, Value
from densitylab.frontend.charts.stability_curves import curves, evaluation_params, points, reading, table
from densitylab.frontend.maps.view import RunColumn

GRADIENT = Component(key="gradient")
NOISE = Component(key="noise", params={"sigma": 0.05})
COLUMN = RunColumn(3, "λ 1", "#112233")


def taken(
    strength: float,
    value: float = 0.5,
    *,
    n: int = 100,
    status: Status = Status.SUCCEEDED,
    perturbation: Component = NOISE,
    attribution: Component = GRADIENT,
    name: str = "stability",
) -> Evaluation:
    return Evaluation(
        id=1,
        run=3,
        name=name,
        key="stability",
        status=status,
        task=1,
        created_at=datetime.now(UTC),
        params=evaluation_params(attribution, perturbation, next(iter(perturbation.params)), strength, n),
        values={
            "cosine": Value(value=value, low=value - 0.1, high=value + 0.2, n=n),
            "cosine_random_map": Value(value=0.0, n=n),
        },
    )


def test_points_of_one_method_and_perturbation_in_order_of_their_strength():
    shifted = Component(key="shift", params={"right": 2, "down": 0})
    other = Component(key="shift", params={"right": 2, "down": 1})
    items = [
        taken(0.2),
        taken(0.1),
        taken(0.3, status=Status.RUNNING),
        taken(4, perturbation=shifted),
        taken(5, perturbation=other),
        taken(0.4, attribution=Component(key="smoothgrad")),
    ]
    assert [point.strength for point in points(items, GRADIENT, NOISE, "sigma")] == [0.1, 0.2]
    assert [point.strength for point in points(items, GRADIENT, shifted, "right")] == [4]


def test_of_two_measures_at_one_strength_that_on_more_images_counts():
    (point,) = points([taken(0.1, 0.9, n=500), taken(0.1, 0.2, n=100)], GRADIENT, NOISE, "sigma")
    assert point.value("cosine").value == 0.9


def test_a_line_has_its_interval_its_controls_and_opens_its_evaluation():
    found = {3: points([taken(0.1, name="a"), taken(0.2, 0.4, name="b")], GRADIENT, NOISE, "sigma")}
    figure = curves("cosine", "cosine", "Noise σ", [COLUMN], found)
    control, line = figure.data
    assert (control.name, list(control.y)) == ("λ 1: a random map", [0.0, 0.0])
    assert (list(line.x), list(line.y)) == ([0.1, 0.2], [0.5, 0.4])
    assert list(line.error_y.array) == pytest.approx([0.2, 0.2])
    assert list(line.error_y.arrayminus) == pytest.approx([0.1, 0.1])
    assert [list(item) for item in line.customdata] == [[3, 0.1, "a"], [3, 0.2, "b"]]


def test_one_strength_is_drawn_with_its_controls_and_an_axis_from_zero():
    figure = curves("cosine", "cosine", "Noise σ", [COLUMN], {3: points([taken(0.1)], GRADIENT, NOISE, "sigma")})
    assert [trace.mode for trace in figure.data] == ["markers", "lines+markers"]
    assert list(figure.layout.xaxis.range) == [0, 0.2]
    several = {3: points([taken(0.1), taken(0.2)], GRADIENT, NOISE, "sigma")}
    figure = curves("cosine", "cosine", "Noise σ", [COLUMN], several)
    assert figure.data[0].mode == "lines" and figure.layout.xaxis.range is None


def test_every_point_is_in_the_table():
    found = {3: points([taken(0.1)], GRADIENT, NOISE, "sigma")}
    assert table([COLUMN], found, "cosine") == [
        {
            "run": 3,
            "settings": "λ 1",
            "strength": 0.1,
            "cosine": 0.5,
            "low": 0.4,
            "high": 0.7,
            "n": 100,
            "a random map": 0.0,
        }
    ]


def test_a_sentence_says_which_run_changes_least_at_the_largest_common_strength():
    other, third = RunColumn(4, "λ 0", "#445566"), RunColumn(5, "λ 2", "#778899")
    by_run = {3: points([taken(0.1, 0.9), taken(0.2, 0.8)], GRADIENT, NOISE, "sigma"), 5: []}
    by_run[4] = points([taken(0.1, 0.1), taken(0.4, 0.1)], GRADIENT, NOISE, "sigma")
    text = reading("cosine", "cosine", "Noise σ", [other, COLUMN, third], by_run)
    assert text == (
        "With Noise σ = 0.1 the maps of λ 1 change least (cosine 0.900 [0.800, 1.1]), those of λ 0 most "
        "(0.100 [0, 0.300], n = 100). Not evaluated: λ 2."
    )
    by_run[4] = points([taken(0.1, 0.7)], GRADIENT, NOISE, "sigma")
    assert "the intervals overlap, so the order may be chance" in reading(
        "cosine", "cosine", "Noise σ", [other, COLUMN], by_run
    )
    by_run[4] = points([taken(0.4, 0.1)], GRADIENT, NOISE, "sigma")
    assert "no strength in common" in reading("cosine", "cosine", "Noise σ", [other, COLUMN], by_run)
