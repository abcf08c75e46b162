"""Values of single test images over runs."""

from datetime import UTC, datetime

import numpy as np

from densitylab.backend.shared.contracts import (
    CatalogEntry,
    CatalogImages,
    CatalogPlot,
    Evaluation,
    Flag,
    Run,
    RunSpec,
    Status,
    Value,
)
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.charts.evaluation_curves import parse_click
from densitylab.frontend.charts.evaluation_spreads import MAX_VIOLINS, draw_spreads, evaluation_spreads, sample_spreads
from densitylab.frontend.client.catalog import Catalog

PLOT = CatalogPlot(
    title="Likeness",
    names=["cosine", "ssim"],
    mark="violins",
    diagonal="",
    controls=["random_map"],
    images=CatalogImages(array="{name}", pick="lowest", words="the least stable"),
)
OFFERED = Catalog.model_construct(
    {
        "evaluation": [
            CatalogEntry.model_construct(key="stability", label="Stability", params=[], plots=[PLOT]),
        ]
    }
)
ARRAYS = {"cosine": np.array([0.9, 0.7])}


def runs(count: int) -> list[Run]:
    return [
        Run(
            id=number,
            experiment=1,
            spec=RunSpec(seed=number),
            status=Status.SUCCEEDED,
            task=number,
            created_at=datetime.now(UTC),
        )
        for number in range(1, count + 1)
    ]


def measured(flags=(), **params) -> list[Evaluation]:
    return [
        Evaluation(
            id=1,
            run=1,
            name="stability",
            key="stability",
            params=params,
            status=Status.SUCCEEDED,
            task=1,
            created_at=datetime.now(UTC),
            flags=list(flags),
            values={"cosine": Value(value=0.8), "cosine_random_map": Value(value=0.01, low=-0.1, high=0.1)},
        )
    ]


def test_each_run_has_a_violin_with_its_control_in_its_colour():
    found = compare(runs(2), OFFERED)
    (chart,) = evaluation_spreads(found, {1: measured(), 2: measured()}, OFFERED)
    shown = sample_spreads(chart, found, lambda run_id, item: ARRAYS)
    assert chart.label == "Likeness: cosine"
    assert [spread.label for spread in shown] == [found.label_of(run) for run, _ in chart.members]
    assert [spread.color for spread in shown] == [found.run_colors[1], found.run_colors[2]]
    assert shown[1].values.tolist() == [0.9, 0.7] and shown[1].controls == {"random_map": (0.01, -0.1, 0.1)}
    assert draw_spreads(chart, shown).layout.title.text == "Likeness: cosine"


def test_a_click_names_the_run_and_its_images():
    found = compare(runs(1), OFFERED)
    (chart,) = evaluation_spreads(found, {1: measured()}, OFFERED)
    (spread,) = sample_spreads(chart, found, lambda run_id, item: ARRAYS)
    assert parse_click(spread.click) == (1, "stability|Likeness|cosine|0.0")


def test_arrays_are_asked_for_only_where_a_violin_is_drawn():
    found, asked = compare(runs(MAX_VIOLINS + 3), OFFERED), []
    (chart,) = evaluation_spreads(found, {run.id: measured() for run in runs(MAX_VIOLINS + 3)}, OFFERED)
    assert len(chart.members) == MAX_VIOLINS + 3

    def arrays(run_id, item):
        asked.append(run_id)
        return ARRAYS if run_id > 1 else {}

    assert len(sample_spreads(chart, found, arrays)) == MAX_VIOLINS - 1  # the first run kept none
    assert len(asked) == MAX_VIOLINS


def test_what_was_measured_otherwise_has_a_chart_of_its_own_with_its_flags():
    found = compare(runs(2), OFFERED)
    flag = Flag(key="few", text="few samples")
    charts = evaluation_spreads(found, {1: measured(samples=200), 2: measured([flag], samples=20)}, OFFERED)
    assert [chart.label for chart in charts] == ["Likeness: cosine (samples 200)", "Likeness: cosine (samples 20)"]
    assert [chart.flags for chart in charts] == [{}, {"few samples": [2]}]
