"""Charts as SVG: marks stand where their values say, and no mark or word is lost."""

from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest

from densitylab.frontend.report.static_chart import to_svg

SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str, name: str) -> list[tuple[float, float]]:
    """Return the places of the marks of a trace, in points."""
    group = next(item for item in ElementTree.fromstring(svg).iter(f"{SVG}g") if item.get("id") == name)
    return [(float(item.get("x", "")), float(item.get("y", ""))) for item in group.iter(f"{SVG}use")]


def test_points_stand_where_their_values_say():
    figure = go.Figure(go.Scatter(x=[0, 1, 4], y=[10, None, 30], mode="lines+markers", name="a"))
    first, last = marks(to_svg(figure, "c"), "c-0")
    figure.data[0].y = [10, 20, 30]
    placed = marks(to_svg(figure, "c"), "c-0")
    assert len(placed) == 3 and placed[0][1] > placed[1][1] > placed[2][1]
    across, up = (
        [(mark[axis] - placed[0][axis]) / (placed[2][axis] - placed[0][axis]) for mark in placed] for axis in (0, 1)
    )
    assert across == pytest.approx([0, 0.25, 1], abs=0.005) and up == pytest.approx([0, 0.5, 1], abs=0.005)
    assert (first[0], last[0]) == (placed[0][0], placed[2][0])


def test_words_are_text_and_all_of_them_are_there():
    figure = go.Figure()
    figure.add_scatter(
        x=["λ < 1", "b & c"], y=[1, 2], mode="markers", name="single <runs>", error_y={"array": [0.1, 0.2]}
    )
    figure.add_bar(x=["λ < 1", "b & c"], y=[1, 2], name="bars", marker={"color": "rgba(1,2,3,0.5)"})
    figure.add_scatter(x=["b & c"], y=[1], name="hidden", showlegend=False)
    figure.update_layout(title={"text": "A title"}, showlegend=True, yaxis={"title": {"text": "accuracy"}})
    words = " ".join(item.text or "" for item in ElementTree.fromstring(to_svg(figure, "c")).iter(f"{SVG}text"))
    for text in ("λ < 1", "b & c", "single <runs>", "bars", "A title", "accuracy"):
        assert text in words
    assert "hidden" not in words


@pytest.mark.parametrize("name", ["$\\frac$", "from $5 to $6", "$x_1$", "_first"])
def test_names_are_no_mathematics(name: str):
    figure = go.Figure(go.Scatter(x=[1, 2], y=[1, 2], name=name, mode="markers"))
    figure.update_layout(title={"text": f"of {name}"}, showlegend=True, xaxis={"title": {"text": f"{name}, in steps"}})
    words = [item.text for item in ElementTree.fromstring(to_svg(figure, "c")).iter(f"{SVG}text")]
    assert {name, f"of {name}", f"{name}, in steps"} <= set(words)
    figure = go.Figure(go.Bar(x=[name, "other"], y=[1, 2]))
    assert name in [item.text for item in ElementTree.fromstring(to_svg(figure, "c")).iter(f"{SVG}text")]


def test_logarithmic_axes_have_plain_numbers():
    figure = go.Figure(go.Scatter(x=[0.01, 100], y=[1, 2]), {"xaxis": {"type": "log"}})
    words = [item.text for item in ElementTree.fromstring(to_svg(figure, "c")).iter(f"{SVG}text")]
    assert {"0.01", "1", "100"} <= set(words) and not any("$" in str(word) for word in words)


def test_axes_end_where_values_can():
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0.2, 1.0], mode="markers"))
    figure.update_yaxes(autorangeoptions={"clipmin": 0, "clipmax": 1})
    labels = [item.text for item in ElementTree.fromstring(to_svg(figure, "c")).iter(f"{SVG}text")]
    assert "1.0" in labels and "1.1" not in labels and "1.05" not in labels


def test_a_violin_of_equal_values_is_drawn_as_its_points():
    figure = go.Figure(go.Violin(x=["a"] * 200, y=[0.5] * 200, name="a", line={"color": "#0072B2"}))
    assert len(marks(to_svg(figure, "c"), "c-0")) == 50


def test_the_same_figure_is_the_same_text():
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0.2, 1.0]))
    assert to_svg(figure, "c") == to_svg(figure, "c") and len(to_svg(figure, "c")) < 12_000
