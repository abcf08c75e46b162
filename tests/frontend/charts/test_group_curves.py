"""Mean curves over seeds against means worked by hand."""

import pytest

from densitylab.backend.shared.contracts import MetricPoint, MetricSeries, Run, RunSpec
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.charts.group_curves import group_curves, mean_curves, mean_table, run_table
from densitylab.frontend.client.catalog import Catalog


def series(run: int, values: dict[int, float], name: str = "loss") -> MetricSeries:
    points = [
        MetricPoint(step=step, epoch=step / 10, value=value, seconds=step * run) for step, value in values.items()
    ]
    return MetricSeries(run=run, name=name, points=points, total=len(points))


def found_of(lambdas: list[float]):
    runs = [
        Run(
            id=number,
            experiment=1,
            task=number,
            status="running",
            created_at="2026-01-01T00:00:00Z",
            spec=RunSpec(lambda_=lambda_, seed=number),
        )
        for number, lambda_ in enumerate(lambdas, 1)
    ]
    return compare(runs, Catalog({}))


def test_the_mean_is_taken_at_the_steps_that_all_seeds_have():
    measured = [series(1, {1: 4.0, 2: 2.0, 3: 1.0}), series(2, {1: 6.0, 3: 3.0})]
    curves = group_curves(found_of([1, 1]), measured, "seconds")
    (curve,) = curves
    assert curve.steps == [1, 3] and curve.x == [1.5, 4.5]  # seconds are averaged too
    assert [(value.mean, value.n) for value in curve.values] == [(5.0, 2), (2.0, 2)]
    assert [round(value.high, 3) for value in curve.values] == [17.706, 14.706]  # t(1) · √2 / √2 = 12.706
    assert list(mean_table(curves)["step"]) == [1, 3]


def test_a_seed_that_is_trained_twice_counts_once():
    found = found_of([1, 1, 1])
    found.groups[0].runs[2].spec.seed = 1
    (curve,) = group_curves(found, [series(1, {1: 2.0}), series(2, {1: 4.0}), series(3, {1: 6.0})], "step")
    assert [(value.mean, value.n) for value in curve.values] == [(5.0, 2)]  # of 6 and 4, the newest of each seed


def test_the_band_of_an_accuracy_ends_at_1():
    measured = [series(1, {1: 0.9}, "validation_accuracy"), series(2, {1: 0.98}, "validation_accuracy")]
    (curve,) = group_curves(found_of([1, 1]), measured, "step")
    assert curve.values[0].high == 1.0 and 0 < curve.values[0].low < 0.9


def test_one_seed_has_a_line_and_no_band():
    curves = group_curves(found_of([0, 1]), [series(1, {1: 4.0}), series(2, {1: 6.0})], "step")
    figure = mean_curves("loss", curves, x="step", log_x=False, log_y=True, smoothing=0.0)
    assert [(trace.name, trace.y) for trace in figure.data] == [("λ 0", (4.0,)), ("λ 1", (6.0,))]
    assert figure.layout.yaxis.type == "log"


def test_curves_of_one_regularizer_differ_in_colour_and_dash():
    found = found_of([0, 1, 10])
    curves = group_curves(found, [series(run, {1: 1.0, 2: 2.0}) for run in (1, 2, 3)], "step")
    figure = mean_curves("loss", curves, x="step", log_x=False, log_y=False, smoothing=0.0)
    assert len({trace.line.color for trace in figure.data}) == 3
    assert [trace.line.dash for trace in figure.data] == ["solid", "solid", "dot"]


def test_the_interval_over_two_seeds_is_a_bar_that_covers_no_other_curve():
    curves = group_curves(found_of([1, 1]), [series(1, {1: 4.0}), series(2, {1: 6.0})], "step")
    (line,) = mean_curves("loss", curves, x="step", log_x=False, log_y=False, smoothing=0.0).data
    assert line.error_y.array[0] == pytest.approx(12.706, abs=1e-3)
    curves = group_curves(found_of([1, 1, 1]), [series(run, {1: 4.0 + run}) for run in (1, 2, 3)], "step")
    band, line = mean_curves("loss", curves, x="step", log_x=False, log_y=False, smoothing=0.0).data
    assert band.fill == "toself" and line.error_y.array is None


def test_smoothing_leaves_the_raw_mean_faint():
    curves = group_curves(found_of([1, 1, 1]), [series(run, {1: 4.0, 2: 2.0}) for run in (1, 2, 3)], "step")
    band, raw, smooth = mean_curves("loss", curves, x="step", log_x=False, log_y=False, smoothing=0.5).data
    assert band.fill == "toself" and raw.y == (4.0, 2.0) and raw.opacity < 1
    assert smooth.y == (4.0, (4 * 0.5 + 2) / 1.5)


def test_a_group_without_points_has_no_curve():
    assert [curve.label for curve in group_curves(found_of([0, 1]), [series(2, {1: 6.0})], "step")] == ["λ 1"]


def test_the_table_has_a_column_per_run():
    table = run_table(found_of([0, 1]), [series(2, {2: 6.0}), series(1, {1: 4.0, 2: 5.0})])
    assert list(table["step"]) == [1, 2] and list(table["run 1: λ 0, seed 1"]) == [4.0, 5.0]
    assert table["run 2: λ 1, seed 2"].isna().tolist() == [True, False]
