"""Charts of what evaluations found, as the plots of the catalog say."""

from datetime import UTC, datetime

import numpy as np
import plotly.io
import pytest

from densitylab.backend.shared.contracts import (
    CatalogEntry,
    CatalogImages,
    CatalogPlot,
    Curve,
    Evaluation,
    Status,
    Value,
)
from densitylab.frontend.charts.results import (
    Spread,
    Trace,
    curve_table,
    distinct_words,
    draw,
    images_link,
    plots_by_title,
    spread_table,
    traces,
    violins,
)
from densitylab.frontend.client.catalog import Catalog

CURVE = Curve(x=[0, 0.1], y=[0.9, 0.4], low=[0.88, 0.35], high=[0.92, 0.45], x_label="epsilon", y_label="accuracy")


def plot(**facts) -> CatalogPlot:
    whole = {
        "title": "Under attack",
        "names": ["accuracy"],
        "mark": "lines",
        "diagonal": "",
        "controls": [],
        "images": CatalogImages(array="broken_at", pick="x", words="that break at {x}"),
    }
    return CatalogPlot(**{**whole, **facts})


def measured(name: str, key: str, **found) -> Evaluation:
    return Evaluation(
        id=1,
        run=1,
        name=name,
        key=key,
        params={},
        status=Status.SUCCEEDED,
        task=1,
        created_at=datetime.now(UTC),
        **found,
    )


def offering(**by_key: list[CatalogPlot]) -> Catalog:
    """A catalog of evaluations with these plots."""
    return Catalog.model_construct(
        {
            "evaluation": [
                CatalogEntry.model_construct(key=key, label=key.upper(), params=[], plots=shown)
                for key, shown in by_key.items()
            ]
        }
    )


def test_evaluations_whose_plots_have_one_title_share_a_chart():
    offered = offering(pgd=[plot()], square=[plot()], leakage=[plot(title="Share", mark="violins", names=["share"])])
    items = [
        measured("pgd", "pgd", curves={"accuracy": CURVE}),
        measured("square", "square", curves={"accuracy": CURVE}),
        measured("leakage", "leakage", values={"share": Value(value=0.5)}),
    ]
    found = plots_by_title(items, offered)
    assert {title: [item.name for item, _ in sharing] for title, sharing in found.items()} == {
        "Under attack": ["pgd", "square"],
        "Share": ["leakage"],
    }
    assert [trace.label for trace in traces(found["Under attack"], offered)] == ["PGD", "SQUARE"]


def test_what_has_not_been_measured_yet_has_no_chart():
    assert plots_by_title([measured("pgd", "pgd")], offering(pgd=[plot()])) == {}


def test_a_measure_of_an_own_name_is_called_by_it():
    offered = offering(pgd=[plot()])
    item = measured("pgd_strong", "pgd", curves={"accuracy": CURVE})
    assert traces(plots_by_title([item], offered)["Under attack"], offered)[0].label == "pgd strong"


def test_a_line_has_a_band_of_its_intervals_and_names_the_images_behind_each_point():
    offered = offering(pgd=[plot()])
    item = measured("pgd", "pgd", curves={"accuracy": CURVE})
    band, line = draw(plot(), traces([(item, plot())], offered)).data
    assert band.y == (0.92, 0.45, 0.35, 0.88)
    assert line.y == (0.9, 0.4)
    assert line.customdata == ("pgd|Under attack|accuracy|0.0", "pgd|Under attack|accuracy|0.1")


def test_points_without_images_behind_them_cannot_be_opened():
    assert images_link(measured("pgd", "pgd"), plot(images=None), "accuracy", 0.1) is None


def test_bars_carry_their_intervals():
    (bars,) = draw(plot(mark="bars"), [Trace("a", "#0072B2", CURVE)]).data
    assert bars.type == "bar"
    assert bars.error_y.array == pytest.approx((0.02, 0.05))
    assert bars.error_y.arrayminus == pytest.approx((0.02, 0.05))


def test_a_histogram_is_drawn_as_steps():
    (steps,) = draw(plot(mark="steps"), [Trace("a", "#0072B2", CURVE)]).data
    assert (steps.line.shape, steps.fill) == ("hvh", "tozeroy")


def test_a_diagonal_is_named_for_what_it_stands_for():
    assert draw(plot(diagonal="chance"), [Trace("a", "#0072B2", CURVE)]).data[-1].name == "chance"


def test_violins_show_every_image_that_has_a_value_and_what_chance_would_give():
    spread = Spread("cosine", "#0072B2", np.array([0.9, np.nan, 0.8]), {"random_map": (0.01, -0.02, 0.04)}, "here")
    violin, control = violins(plot(mark="violins", controls=["random_map", "random_weights"]), [spread]).data[:2]
    assert violin.y == (0.9, 0.8) and violin.customdata == ("here", "here")
    assert (control.name, control.y) == ("random map", (0.01,))
    assert control.error_y.array == pytest.approx((0.03,)) and control.error_y.arrayminus == pytest.approx((0.03,))


def test_the_tables_hold_what_the_charts_show():
    assert curve_table([Trace("a", "#000000", CURVE)]).to_dict("records")[1] == {
        "curve": "a",
        "epsilon": 0.1,
        "accuracy": 0.4,
        "low": 0.35,
        "high": 0.45,
    }
    table = spread_table([Spread("cosine", "#000000", np.array([0.5, np.nan]), {"random_map": (0.1, None, None)})])
    assert table["test image"].tolist() == ["0", "1", "mean, random map"]
    assert table["value"].isna().tolist() == [False, True, False]


def test_every_figure_survives_the_way_to_the_browser():
    figures = [draw(plot(mark=mark), [Trace("a", "#0072B2", CURVE)]) for mark in ("lines", "bars", "steps")]
    figures.append(violins(plot(mark="violins"), [Spread("a", "#0072B2", np.array([1.0, 2.0]))]))
    for figure in figures:
        assert plotly.io.from_json(figure.to_json()).layout.uirevision == "Under attack"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["up_log_density", "down_log_density"], ["up", "down"]),
        (["log_density_train", "log_density_noise"], ["train", "noise"]),
        (["msp_roc", "max_logit_roc"], ["msp", "max logit"]),
        (["cosine", "top_k"], ["cosine", "top k"]),
        (["accuracy"], ["accuracy"]),
    ],
)
def test_a_curve_is_called_by_what_tells_it_from_the_others_of_its_chart(names, words):
    assert [distinct_words(name, names) for name in names] == words
