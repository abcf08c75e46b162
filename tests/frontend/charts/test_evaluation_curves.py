"""Curves of evaluations over runs and their seeds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import (
    CatalogEntry,
    CatalogImages,
    CatalogPlot,
    CatalogRange,
    Curve,
    Evaluation,
    Flag,
    Run,
    RunSpec,
    Status,
)
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.charts.evaluation_curves import evaluation_charts, parse_click
from densitylab.frontend.charts.results import draw
from densitylab.frontend.client.catalog import Catalog

PLOT = CatalogPlot(
    title="Under attack",
    names=["accuracy"],
    mark="lines",
    diagonal="",
    controls=[],
    images=CatalogImages(array="broken_at", pick="x", words="that break"),
)
OFFERED = Catalog.model_construct(
    {
        "evaluation": [
            CatalogEntry.model_construct(key="pgd", label="PGD", params=[], plots=[PLOT]),
        ]
    }
)


def run(number: int, **spec) -> Run:
    return Run(
        id=number,
        experiment=1,
        spec=RunSpec(**spec),
        status=Status.SUCCEEDED,
        task=number,
        created_at=datetime.now(UTC),
    )


def measured(
    y: list[float], *, x: tuple[float, ...] = (0, 0.1), params: dict | None = None, flags=()
) -> list[Evaluation]:
    return [
        Evaluation(
            id=1,
            run=1,
            name="pgd",
            key="pgd",
            params=params or {},
            status=Status.SUCCEEDED,
            task=1,
            flags=list(flags),
            created_at=datetime.now(UTC),
            curves={"accuracy": Curve(x=list(x), y=y, low=y, high=y)},
        )
    ]


def test_seeds_that_share_their_points_become_a_mean_with_its_interval():
    runs = [run(1, seed=0), run(2, seed=1)]
    (chart,) = evaluation_charts(compare(runs, OFFERED), {1: measured([0.8, 0.4]), 2: measured([0.6, 0.6])}, OFFERED)
    (trace,) = chart.traces
    assert trace.curve.y == pytest.approx([0.7, 0.5])
    assert trace.curve.high[0] == pytest.approx(0.7 + 12.7062 * 0.1, abs=1e-3)  # Student's t with one degree of freedom
    assert trace.label.endswith("mean of 2") and trace.bars
    (line,) = draw(chart.plot, [trace]).data  # no band over two seeds
    assert line.error_y.array[0] == pytest.approx(12.7062 * 0.1, abs=1e-3)
    (band, line) = draw(chart.plot, [replace(trace, bars=False)]).data
    assert band.fill == "toself" and line.error_y.array is None


def test_the_band_of_a_share_ends_at_its_bounds():
    runs = [run(1, seed=0), run(2, seed=1)]
    entry = OFFERED.entry("evaluation", "pgd").model_copy(
        update={"ranges": [CatalogRange(names=["accuracy"], low=0.0, high=1.0)]}
    )
    bounded = Catalog.model_construct({"evaluation": [entry]})
    (chart,) = evaluation_charts(compare(runs, bounded), {1: measured([0.9, 0.1]), 2: measured([0.8, 0.0])}, bounded)
    (trace,) = chart.traces
    assert (trace.curve.high[0], trace.curve.low[1]) == (1.0, 0.0)


def test_seeds_with_points_of_their_own_are_drawn_each():
    runs = [run(1, seed=0), run(2, seed=1)]
    evaluations = {1: measured([0.8, 0.4]), 2: measured([0.6, 0.6], x=(0, 0.2))}
    (chart,) = evaluation_charts(compare(runs, OFFERED), evaluations, OFFERED)
    assert [trace.curve.y for trace in chart.traces] == [[0.8, 0.4], [0.6, 0.6]]


def test_a_seed_that_was_run_twice_counts_once():
    runs = [run(1, seed=0), run(2, seed=0)]
    (chart,) = evaluation_charts(compare(runs, OFFERED), {1: measured([0.8, 0.4]), 2: measured([0.6, 0.6])}, OFFERED)
    assert [trace.curve.y for trace in chart.traces] == [[0.6, 0.6]]


def test_each_group_has_its_colour_and_a_click_leads_to_the_images_of_one_of_its_runs():
    runs = [run(1, lambda_=0.0), run(2, lambda_=1.0)]
    found = compare(runs, OFFERED)
    (chart,) = evaluation_charts(found, {1: measured([0.8, 0.4]), 2: measured([0.6, 0.6])}, OFFERED)
    assert [trace.color for trace in chart.traces] == found.colors
    assert parse_click(chart.traces[1].clicks[1]) == (2, "pgd|Under attack|accuracy|0.1")


def test_what_was_measured_otherwise_has_a_chart_of_its_own_that_says_how():
    runs = [run(1, lambda_=0.0), run(2, lambda_=1.0)]
    evaluations = {1: measured([0.8, 0.4], params={"steps": 10}), 2: measured([0.6, 0.6], params={"steps": 40})}
    charts = evaluation_charts(compare(runs, OFFERED), evaluations, OFFERED)
    assert [chart.label for chart in charts] == ["Under attack: PGD (steps 10)", "Under attack: PGD (steps 40)"]
    assert [chart.plot.title for chart in charts] == [chart.label for chart in charts]


def test_flags_come_with_the_runs_that_carry_them():
    runs = [run(1, seed=0), run(2, seed=1)]
    evaluations = {1: measured([0.8, 0.4]), 2: measured([0.6, 0.6], flags=[Flag(key="masked", text="is masked")])}
    (chart,) = evaluation_charts(compare(runs, OFFERED), evaluations, OFFERED)
    assert chart.flags == {"is masked": [2]}
