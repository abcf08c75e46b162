"""Lines over λ, trade-offs and parallel coordinates against cases worked by hand."""

import pytest

from densitylab.backend.shared.contracts import Origin
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.charts.figures import smoothed
from densitylab.frontend.charts.lambda_response import lambda_axis, lambda_response, lines, parallel_coordinates
from densitylab.frontend.charts.tradeoff import tradeoff
from tests.frontend.analysis.test_comparison import NO_CATALOG, make_run, matched_runs, measured


def test_the_place_of_lambda_zero():
    axis = lambda_axis([0, 0.01, 1, 0.1])
    assert axis.positions == pytest.approx([-3, -2, -1, 0]) and axis.labels == ["0", "0.01", "0.1", "1"]
    assert lambda_axis([0]).positions == [0.0]
    many = lambda_axis([0, *(10 ** (place / 4) for place in range(-8, 9))])
    assert many.labels == ["0", "0.01", "0.1", "1", "10", "100"]


def test_response_lines_begin_at_the_shared_baseline():
    found = compare(matched_runs(), NO_CATALOG)
    pgd = next(column for column in found.columns if column.result == "pgd_linf.accuracy")
    drawn = {line.label: [(lambda_, mean.mean) for lambda_, _, mean in line.points] for line in lines(found, pgd)}
    assert drawn == {"a": [(0, 0.1), (0.1, 0.3), (1, 0.6)], "b": [(0, 0.1), (1, 0.5)]}
    figure = lambda_response(found, pgd, NO_CATALOG)
    line = next(trace for trace in figure.data if trace.uid == "a")
    assert line.x == pytest.approx((-2, -1, 0)) and line.y == pytest.approx((0.1, 0.3, 0.6))
    dots = next(trace for trace in figure.data if trace.uid == "runs")
    assert len(dots.x) == 8 and set(dots.customdata) == set(found.run_colors)


def test_the_interval_over_two_seeds_is_a_bar_and_so_is_one_beside_it():
    seeds = {0: 3, 0.1: 3, 1: 2, 10: 3}
    runs = [
        make_run("a", lambda_, seed, results=measured(0.9, 0.1 * seed, 0.5))
        for lambda_, number in seeds.items()
        for seed in range(number)
    ]
    found = compare(runs, NO_CATALOG)
    pgd = next(column for column in found.columns if column.result == "pgd_linf.accuracy")
    figure = lambda_response(found, pgd, NO_CATALOG)
    (band,) = [trace for trace in figure.data if trace.fill == "toself"]
    assert sorted(set(band.x)) == pytest.approx([-2, -1])  # λ = 0 and 0.1; no band passes over λ = 1
    means = next(trace for trace in figure.data if trace.uid == "a-means")
    assert [length > 0 for length in means.error_y.array] == [False, False, True, True]


def test_a_method_without_results_has_no_line():
    runs = matched_runs()
    waiting = [run.model_copy(update={"results": {}}) if run.spec.regularizer.key == "b" else run for run in runs]
    found = compare(waiting, NO_CATALOG)
    pgd = next(column for column in found.columns if column.result == "pgd_linf.accuracy")
    assert [line.label for line in lines(found, pgd)] == ["a"]


def test_dominated_points_are_faint_in_the_direction_that_is_better():
    runs = [
        make_run("a", lambda_, 0, results=measured(accuracy, pgd, share))
        for lambda_, accuracy, pgd, share in ((0, 0.9, 0.1, 0.5), (0.1, 0.8, 0.3, 0.2), (1, 0.7, 0.2, 0.3))
    ]
    found = compare(runs, NO_CATALOG)
    accuracy, pgd, share = found.columns
    figure, points = tradeoff(found, accuracy, pgd, NO_CATALOG)
    assert [point.faint for point in points] == [False, False, True]
    assert [point.faint for point in tradeoff(found, accuracy, share, NO_CATALOG)[1]] == [False, False, True]
    front = next(trace for trace in figure.data if trace.uid == "front")
    assert front.x == (0.8, 0.9) and front.y == (0.3, 0.1)


def test_parallel_coordinates_have_a_line_per_run():
    runs = matched_runs()
    runs.append(make_run("b", 10, 0))  # not measured yet: no line
    found = compare(runs, NO_CATALOG)
    figure = parallel_coordinates(found, found.columns, NO_CATALOG)
    assert figure is not None
    names = [dimension.label for dimension in figure.data[0].dimensions]
    assert names[:2] == ["regularizer", "λ (log, 0 lowest)"] and len(names) == 2 + len(found.columns)
    lambdas = figure.data[0].dimensions[1]
    assert sorted(set(lambdas["values"])) == pytest.approx([-2, -1, 0]) and lambdas.ticktext == ("0", "0.1", "1")
    assert len(figure.data[0].line.color) == 8
    assert parallel_coordinates(compare(runs[-1:], NO_CATALOG), found.columns, NO_CATALOG) is None


def test_a_group_without_a_place_on_an_axis_is_drawn_where_it_has_one():
    """Of two models from elsewhere only the one of unknown λ has PGD, and only the other one has leakage."""
    unknown = make_run("none", 0, 0, results={"accuracy.accuracy": 0.9, "pgd_linf.accuracy": 0.2})
    stated = make_run("none", 0, 0, results={"accuracy.accuracy": 0.8, "leakage.share": 0.5})
    runs = [
        unknown.model_copy(update={"origin": Origin.IMPORTED}),
        stated.model_copy(update={"origin": Origin.LOGGED, "lambda_": 0.0}),
    ]
    found = compare(runs, NO_CATALOG)
    by_name = {column.result: column for column in found.columns}
    accuracy, pgd, leakage = (by_name[name] for name in ("accuracy.accuracy", "pgd_linf.accuracy", "leakage.share"))

    def lambdas_beside(*columns: Column) -> tuple[list[float], list[str]]:  # positions of the runs, texts of the ticks
        figure = parallel_coordinates(found, columns, NO_CATALOG)
        assert figure is not None
        axis = next(item for item in figure.data[0].dimensions if item.label == "λ (log, 0 lowest)")
        return list(axis["values"]), list(axis.ticktext)

    assert lambdas_beside(accuracy, pgd) == ([-1], ["not known"])
    assert lambdas_beside(accuracy, leakage) == ([0], ["0"])
    assert lambdas_beside(accuracy) == ([0, -1], ["not known", "0"])
    assert parallel_coordinates(found, (pgd, leakage), NO_CATALOG) is None
    assert [len(tradeoff(found, accuracy, column, NO_CATALOG)[1]) for column in found.columns] == [2, 1, 1]
    assert tradeoff(found, pgd, leakage, NO_CATALOG)[1] == []
    for column in found.columns:
        assert lines(found, column) == [] and not lambda_response(found, column, NO_CATALOG).data[0].x


def test_smoothing_is_a_weighted_mean_of_the_past():
    assert smoothed([1.0, 2.0, 4.0], 0.0) == [1.0, 2.0, 4.0]
    # (4 + 2·½ + 1·¼) / (1 + ½ + ¼)
    assert smoothed([1.0, 2.0, 4.0], 0.5) == pytest.approx([1.0, 2.5 / 1.5, 5.25 / 1.75])
    assert smoothed([3.0] * 5, 0.9) == pytest.approx([3.0] * 5)
