"""Figures hold the numbers that they were given."""

import itertools
import math

import plotly.graph_objects as go
import plotly.io
import pytest

from densitylab.backend.shared.contracts import MetricPoint, MetricSeries
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.colors import PALETTE, lambda_dash, lambda_shade, lighter, palette
from densitylab.frontend.charts import figures
from densitylab.frontend.charts.figures import PANELS, Panel, Point, RunPoint, overlay, panels_of, scatter


def curves(*arguments, **options):
    """As Plotly's own checks take it."""
    return go.Figure(figures.curves(*arguments, **options))


def series(name: str, run: int = 1) -> MetricSeries:
    points = [MetricPoint(step=step, epoch=step / 2, value=10.0 * step, seconds=step / 4) for step in (1, 2, 3)]
    return MetricSeries(run=run, name=name, points=points, total=3)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("step", (1, 2, 3)),
        ("epoch", (0.5, 1, 1.5)),
        ("seconds", (0.25, 0.5, 0.75)),
    ],
)
def test_curves_over_each_axis(x, expected):
    figure = curves(PANELS[0], [series("cross_entropy"), series("throughput")], x=x)
    (trace,) = figure.data  # what the panel does not show is left out
    assert (trace.x, trace.y, trace.name) == (expected, (10, 20, 30), "cross-entropy")


def test_axes_may_be_logarithmic():
    figure = curves(PANELS[0], [series("loss")], log_y=True)
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("linear", "log")


def test_zoom_survives_new_points_but_not_another_scale():
    before, after = (curves(PANELS[0], [series("loss")]) for _ in range(2))
    assert before.layout.uirevision == after.layout.uirevision
    assert curves(PANELS[0], [series("loss")], log_y=True).layout.uirevision != before.layout.uirevision


def test_the_panels_show_each_metric_once():
    shown = [name for panel in PANELS for name in panel.metrics]
    assert len(shown) == len(set(shown))
    assert {
        "loss",
        "cross_entropy",
        "penalty",
        "train_accuracy",
        "gradient_norm",
        "gradient_norm_log_prob",
        "gradient_norm_margin",
    } <= set(shown)


def test_an_overlay_has_a_line_per_run_in_its_colour():
    figure = overlay(
        "t",
        "u",
        [series("loss", 2), series("loss", 1)],
        {1: "a", 2: "b"},
        {1: "#111111", 2: "#222222"},
        {1: "solid", 2: "dash"},
    )
    assert [(trace.name, trace.line.color) for trace in figure.data] == [("a", "#111111"), ("b", "#222222")]


def test_the_legend_of_many_runs_lists_their_groups():
    members = [series("loss", run) for run in (1, 2, 3)]
    names, colors = {1: "λ 0, seed 0", 2: "λ 0, seed 1", 3: "λ 1, seed 0"}, dict.fromkeys((1, 2, 3), "#111111")
    figure = overlay(
        "t", "u", members, names, colors, dict.fromkeys(names, "solid"), groups={1: "λ 0", 2: "λ 0", 3: "λ 1"}
    )
    assert [(trace.name, trace.legendgroup, trace.showlegend) for trace in figure.data] == [
        ("λ 0", "λ 0", True),
        ("λ 0", "λ 0", False),
        ("λ 1", "λ 1", True),
    ]
    assert "λ 0, seed 1" in figure.data[1].hovertemplate


def test_a_scatter_tells_which_run_a_click_opens():
    point = Point("λ 1", Estimate(0.5, 0.4, 0.6, 3), Estimate(0.9, None, None, 1), "#000000", 7)
    figure = scatter("t", "x", "y", [point], [RunPoint("λ 1, seed 0", 0.5, 0.9, "#000000", 8)])
    runs, mean = figure.data
    assert runs.customdata == (8,) and mean.customdata == (7,)
    assert mean.error_x.array[0] == pytest.approx(0.1) and mean.error_x.visible
    assert not mean.error_y.visible  # one value has no interval


def test_many_groups_are_one_trace_in_which_each_keeps_its_colour_and_its_run():
    middle = Estimate(0.5, None, None, 1)
    points = [
        Point(f"λ {place}", Estimate(place, place - 1, place + 1, 3), middle, f"#0000{place:02}", place)
        for place in range(40)
    ]
    means = scatter("t", "x", "y", points, []).data[-1]
    assert means.customdata == tuple(range(40)) and means.marker.color[7] == "#000007"
    assert means.text[7] == "λ 7, mean of 3" and set(means.error_x.array) == {1.0}


def test_figures_survive_the_way_to_the_browser():
    figure = curves(Panel("t", ("loss",), "u"), [series("loss")])
    assert list(plotly.io.from_json(figure.to_json()).data[0].y) == [10, 20, 30]


def test_colours_are_the_same_whatever_the_order():
    assert palette([5, 3, 9]) == palette([9, 5, 3, 3]) == {3: PALETTE[0], 5: PALETTE[1], 9: PALETTE[2]}
    assert all(a != b for a, b in itertools.combinations(PALETTE, 2))


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_a_smaller_weight_is_paler_whatever_the_others_are():
    weights = (1e300, 100, 10, 1, 0.1, 0.01, 1e-6, 1e-300)
    for color in PALETTE:
        shades = [lambda_shade(color, lambda_) for lambda_ in weights]
        assert shades[3] == color and shades[-1] == lighter(color, 0.6)
        brightness = [luminance(shade) for shade in shades]
        assert brightness == sorted(brightness)


@pytest.mark.parametrize("color", PALETTE[:6])
@pytest.mark.parametrize("pair", [(1, 10), (0.3, 3), (0.1, 1), (0.3, 1), (1, 3)])
def test_neighbouring_weights_are_told_apart_on_both_backgrounds(color, pair):
    pale, dark = (lambda_shade(color, lambda_) for lambda_ in pair)
    assert contrast(pale, dark) > 1.25
    assert lambda_dash(pair[0]) != lambda_dash(pair[1])
    assert all(
        contrast(shade, background) > 1.75
        for shade in (pale, dark)
        for background in ("#FFFFFF", "#11161C")
        if pair[0] > 0.1
    )


def test_a_line_of_a_baseline_is_solid():
    assert lambda_dash(0) == lambda_dash(None) == lambda_dash(1) == "solid"


@pytest.mark.parametrize("name", ["accuracy", "validation_accuracy", "train_accuracy", "validation_worst_group"])
def test_the_axis_of_a_share_ends_at_0_and_1(name):
    axis = overlay("t", "u", [series(name)], {1: "a"}, {1: "#111111"}, {1: "solid"}).layout.yaxis
    assert (axis.autorangeoptions.clipmin, axis.autorangeoptions.clipmax) == (0, 1)
    panel = curves(Panel("t", (name,), "u"), [series(name)]).layout.yaxis
    assert (panel.autorangeoptions.clipmin, panel.autorangeoptions.clipmax) == (0, 1)


def test_a_loss_has_no_end_and_no_axis_has_an_si_prefix():
    figure = overlay("t", "u", [series("loss")], {1: "a"}, {1: "#111111"}, {1: "solid"}, log_y=True)
    assert figure.layout.yaxis.autorangeoptions.clipmax is None
    assert figure.layout.yaxis.exponentformat == figure.layout.xaxis.exponentformat == "power"
    logarithmic = overlay("t", "u", [series("accuracy")], {1: "a"}, {1: "#111111"}, {1: "solid"}, log_y=True)
    assert logarithmic.layout.yaxis.autorangeoptions.clipmax is None


def test_a_point_at_the_end_of_an_axis_is_whole():
    point = Point("λ 1", Estimate(1.0, 0.9, 1.0, 3), Estimate(0.9, None, None, 1), "#000000", 7)
    figure = scatter("t", "x", "y", [point], [], x_bounds=(0.0, 1.0), y_bounds=(0.0, math.inf))
    assert figure.layout.xaxis.autorangeoptions.clipmax == 1 and figure.data[-1].cliponaxis is False
    assert figure.layout.yaxis.autorangeoptions.clipmax is None and figure.layout.yaxis.autorangeoptions.clipmin == 0


def test_lighter_ends_at_white():
    assert lighter("#0072B2", 0) == "#0072B2" and lighter("#0072B2", 1) == "#FFFFFF"


def test_the_accuracies_of_a_training_against_attacks_share_a_panel():
    names = ("validation_fgsm_accuracy", "validation_pgd_accuracy")
    (panel,) = panels_of(names)
    figure = curves(panel, [series(name) for name in names])
    assert [trace.name for trace in figure.data] == ["FGSM accuracy, validation", "PGD accuracy, validation"]
