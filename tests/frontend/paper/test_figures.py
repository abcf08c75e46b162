"""Figures: what is drawn, that nothing is cut, and that lines can be told apart without colour."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.paper import draw
from densitylab.frontend.paper.contents import Paper, PaperFigure, PaperPanel, PaperPoint
from densitylab.frontend.paper.figures import layout, line_colors, points, render
from densitylab.frontend.paper.study import study_paper

LONG = "Input-gradient regularization, target log prob, with a name that is far too long for one line of a legend"


def figure(lines: int = 3, panels: int = 1, label: str = "method {}") -> PaperFigure:
    def line(index: int) -> list[PaperPoint]:
        return [
            PaperPoint(lambda_, Estimate(index + lambda_ / 10, index - 0.5, index + 1.5, 3), lambda_, [1])
            for lambda_ in (0.0, 0.1, 1.0, 10.0)
        ]

    drawn = {label.format(index): line(index) for index in range(lines)}
    y_label = "Adversarial accuracy, PGD L∞, ε = 0.1 (worst of two losses) ↑"
    return PaperFigure("f", "Title", "λ", y_label, [PaperPanel(f"Launch {n}: {LONG}", drawn) for n in range(panels)])


def opened(item: PaperFigure):
    rows = points(item).to_dict(orient="records")
    return draw.drawn(layout(item, line_colors(Paper("", [], [item], []))), rows)


@pytest.mark.parametrize("panels", [1, 2, 3, 5])
@pytest.mark.parametrize("label", ["{}", LONG + " {}"])
def test_nothing_is_cut_and_all_text_has_eight_points(panels: int, label: str):
    with opened(figure(4, panels, label)) as drawn:
        drawn.draw_without_rendering()
        texts = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text()]
        shown = [text for text in texts if text.get_window_extent().width > 0]
        assert any(text.get_text().replace("\n", " ").startswith(LONG[:20]) for text in shown) or label == "{}"
        for text in shown:
            box = text.get_window_extent()
            assert box.x0 >= -0.5 and box.x1 <= drawn.bbox.x1 + 0.5, text.get_text()
            assert box.y0 >= -0.5 and box.y1 <= drawn.bbox.y1 + 0.5, text.get_text()
        assert {text.get_fontsize() for text in shown} == {8}


@pytest.mark.parametrize("seed", range(3))
def test_the_lambdas_at_points_lie_beside_each_other_and_in_the_axes(seed: int):
    """Eight lines of four λ whose points crowd in a corner, as trade-offs do."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            **dict.fromkeys(("x_low", "x_high", "y_low", "y_high", "n", "runs"), ""),
            **{"panel": "", "line": f"line {line}", "lambda": str(lambda_), "dominated": "no"},
            **{"x": repr(1 - rng.gamma(2, 0.02)), "y": repr(1 - rng.gamma(2, 0.05))},
        }
        for line in range(8)
        for lambda_ in (0.01, 0.1, 1.0, 10.0)
    ]
    colors = {f"line {line}": "C0" for line in range(8)}
    shown = {"x_label": "x", "y_label": "y", "width": 6.5, "lambda_at_points": True, "colors": colors}
    with draw.drawn(shown, rows) as drawn:
        drawn.draw_without_rendering()
        (axes,) = drawn.axes
        boxes = [text.get_window_extent() for text in axes.texts]
        inside = axes.get_window_extent()
    assert len(boxes) == 32
    overlapping = [one for one, other in itertools.combinations(boxes, 2) if _shared(one, other) > 0.1 * _area(other)]
    assert len(overlapping) <= 2
    assert all(_shared(box, inside) >= 0.9 * _area(box) for box in boxes)


def _area(box: Bbox) -> float:
    return box.width * box.height


def _shared(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else _area(both)


def test_the_legend_and_the_panels_do_not_overlap():
    with opened(figure(6, 3, LONG + " {}")) as drawn:
        drawn.draw_without_rendering()
        legend = drawn.legends[0].get_window_extent()
        for axes in drawn.axes:
            assert axes.get_tightbbox().y1 <= legend.y0 + 0.5
            assert axes.get_window_extent().height > 60  # of 126 pixels of a row


def test_the_legend_shows_the_dashes_of_a_line_that_is_one_point_in_some_panels():
    whole = figure(2).panels[0].lines
    single = {label: line[:1] for label, line in whole.items()}
    item = replace(figure(), panels=[PaperPanel("a", single), PaperPanel("b", whole), PaperPanel("c", single)])
    with opened(item) as drawn:
        shown = [handle.get_linestyle() for handle in drawn.legends[0].findobj(Line2D) if len(handle.get_xdata()) == 2]
        assert shown == ["-", "--"]


@pytest.mark.parametrize("label", ["$\\frac$ {}", "from $5 to $6 {}", "_first {}"])
def test_names_of_lines_are_in_the_legend_as_they_are(label: str):
    item = replace(figure(2, 1, label), x_label="of $5 or $6")
    with opened(item) as drawn:
        drawn.draw_without_rendering()
        assert [text.get_text() for text in drawn.legends[0].get_texts()] == [label.format(0), label.format(1)]
    svg = render(Paper("", [], [item], []), item, "svg").decode()
    assert f"<!-- {label.format(0)} -->" in svg and "<!-- of $5 or $6 -->" in svg


def test_lines_differ_in_marker_and_dashes():
    styles = {
        (draw.MARKERS[index % len(draw.MARKERS)], str(draw.DASHES[index % len(draw.DASHES)])) for index in range(50)
    }
    assert len(styles) == 50


def test_drawn_points_and_bars_are_the_means_and_intervals(report, runs, catalog):
    item = study_paper(report, runs, catalog).figures[0]
    with opened(item) as drawn:
        assert [axes.get_title() for axes in drawn.axes] == ["MLP, ReLU", "Small CNN, GELU"]
        for axes, panel in zip(drawn.axes, item.panels, strict=True):
            for container, line in zip(axes.containers, panel.lines.values(), strict=True):
                data, _, (x_bars, y_bars) = container.lines
                assert data.get_xdata() == pytest.approx([point.x.mean for point in line])
                assert data.get_ydata() == pytest.approx([point.y.mean for point in line])
                ends = [(low[0], high[0]) for low, high in x_bars.get_segments()]
                assert ends == [pytest.approx((point.x.low, point.x.high)) for point in line]
                ends = [(low[1], high[1]) for low, high in y_bars.get_segments()]
                assert ends == [pytest.approx((point.y.low, point.y.high)) for point in line]


def test_lambda_zero_is_at_the_left_end_of_a_logarithmic_axis():
    with opened(figure(2)) as drawn:
        (axes,) = drawn.axes
        assert list(axes.containers[0].lines[0].get_xdata()) == pytest.approx([-2, -1, 0, 1])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.1", "1", "10"]


def test_every_lambda_has_a_tick_where_there_is_room():
    lambdas = (0.0, 0.3, 1.0, 3.0, 10.0)
    line = [PaperPoint(lambda_, Estimate(0.5, 0.4, 0.6, 3), lambda_, [1]) for lambda_ in lambdas]
    item = replace(figure(), panels=[PaperPanel("", {"a": line})])
    with opened(item) as drawn:
        assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == ["0", "0.3", "1", "3", "10"]
    with opened(replace(item, panels=item.panels * 3)) as drawn:  # narrow ones, and the same panel thrice
        assert len(drawn.axes[0].get_xticklabels()) <= 5
    crowded = [replace(line[1], x=lambda_) for lambda_ in (0.1, 0.11, 1.0, 10.0, 100.0)]
    with opened(replace(item, panels=[PaperPanel("", {"a": crowded})])) as drawn:
        assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == ["0.1", "1", "10", "100"]


def test_a_label_breaks_neither_within_the_strength_nor_before_the_arrow():
    item = replace(figure(), y_label="PGD accuracy, L∞ ε = 0.05 ↑")
    with opened(item) as drawn:
        text = drawn.axes[0].get_ylabel().replace("\N{NO-BREAK SPACE}", " ")
    assert text.split("\n") == ["PGD accuracy,", "L∞ ε = 0.05 ↑"]


def test_no_interval_strikes_through_a_lambda():
    points_ = [
        PaperPoint(Estimate(x, x - 2, x + 2, 3), Estimate(x, x - 2, x + 2, 3), lambda_, [1], dominated=False)
        for x, lambda_ in ((1.0, 0.1), (4.0, 1.0), (7.0, 10.0))
    ]
    item = replace(figure(), panels=[PaperPanel("", {"a": points_})])
    with opened(item) as drawn:
        drawn.draw_without_rendering()
        (axes,) = drawn.axes
        bars = [segment for item in axes.containers[0].lines[2] for segment in item.get_segments()]
        ends = [Bbox(axes.transData.transform(segment)) for segment in bars]
        boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 3 and len(ends) == 6
    for box, end in itertools.product(boxes, ends):
        assert end.x1 < box.x0 or end.x0 > box.x1 or end.y1 < box.y0 or end.y0 > box.y1


def test_the_pareto_front_looks_like_no_line_of_a_method():
    points_ = [
        PaperPoint(Estimate(x, None, None, 3), Estimate(y, None, None, 3), x, [1], dominated=x > 1)
        for x, y in ((0.0, 2.0), (1.0, 3.0), (2.0, 1.0))
    ]
    item = replace(figure(), panels=[PaperPanel("", {"a": points_})])
    with opened(item) as drawn:
        front = next(line for line in drawn.axes[0].lines if line.get_label() == draw.FRONT)
        assert front.get_linestyle() == "-" and front.get_linewidth() > 2


def test_settings_that_are_no_numbers_have_a_place_each():
    norms = [PaperPoint(norm, Estimate(0.5, 0.4, 0.6, 3), 0.1, [1]) for norm in ("1", "2", "inf")]
    item = replace(figure(), panels=[PaperPanel("", {"a": norms, "b": norms[1:]})])
    with opened(item) as drawn:
        (axes,) = drawn.axes
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "inf"]
        assert list(axes.containers[1].lines[0].get_xdata()) == [1, 2]


def test_one_seed_has_no_bar():
    item = replace(figure(), panels=[PaperPanel("", {"a": [PaperPoint(1.0, Estimate(2.0, None, None, 1), 1.0, [1])]})])
    with opened(item) as drawn:
        (bars,) = drawn.axes[0].containers[0].lines[2]
        assert [[end[1] for end in segment] for segment in bars.get_segments()] == [[2.0, 2.0]]


def test_files_are_the_same_each_time_and_embed_their_fonts():
    paper = Paper("", [], [figure(3, 2)], [])
    for form in ("pdf", "svg"):
        assert render(paper, paper.figures[0], form) == render(paper, paper.figures[0], form)
    pdf = render(paper, paper.figures[0], "pdf")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    svg = render(paper, paper.figures[0], "svg").decode()
    assert re.search(r'width="468pt"', svg)  # 6.5 inches
    assert "<text" not in svg and "<!-- λ -->" in svg  # letters are outlines


def test_a_line_has_one_colour_in_all_figures(report, runs, catalog):
    paper = study_paper(report, runs, catalog)
    assert list(line_colors(paper)) == [
        "None (baseline)",
        "Jacobian regularization",
        "Marginal-density smoothing",
    ]
    assert len(set(line_colors(paper).values())) == 3
