"""Paper output of a comparison: the page's groups, best marks and selected λ."""

import re
from dataclasses import replace

import pytest

from densitylab.backend.shared.contracts import Component, Origin
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import compare, headline_columns
from densitylab.frontend.analysis.selection_rule import SelectionRule
from densitylab.frontend.charts.tradeoff import tradeoff
from densitylab.frontend.paper import draw
from densitylab.frontend.paper.comparison import comparison_paper
from densitylab.frontend.paper.contents import Paper
from densitylab.frontend.paper.document import figure_caption
from densitylab.frontend.paper.figures import layout, line_colors
from densitylab.frontend.paper.figures import points as table_of
from densitylab.frontend.paper.latex import table_latex
from densitylab.frontend.paper.setup import setup_notes


@pytest.fixture
def paper(runs, catalog) -> Paper:
    comparison = compare([run for run in runs if run.experiment == 1], catalog)
    columns = [column for column in comparison.columns if not column.result.startswith("leakage")]
    selected = next(column for column in columns if column.result == "pgd_linf.accuracy")
    return comparison_paper(comparison, columns, catalog, title="Experiment 1", rule=SelectionRule(selected))


def test_all_groups_have_a_row_and_the_best_mean_is_bold(paper: Paper):
    table = paper.tables[0]
    assert [(row.method, row.lambda_) for row in table.rows] == [
        ("Baseline (no regularizer)", 0.0),
        ("Jacobian regularization", 0.1),
        ("Jacobian regularization", 1.0),
        ("Marginal-density smoothing", 0.1),
        ("Marginal-density smoothing", 1.0),
    ]
    assert [[cell.best for cell in row.cells] for row in table.rows] == [[False, False]] * 4 + [[False, True]]
    assert re.findall(r"\\textbf\{([^}]*)\}", table_latex(table)) == ["0.500"]
    assert table.images == [1000, 1000]


def test_the_selected_lambda_has_its_edge_and_the_rule(paper: Paper):
    table = paper.tables[1]
    assert [(row.method, row.lambda_, row.edge) for row in table.rows] == [
        ("Baseline (no regularizer)", 0.0, None),
        ("Marginal-density smoothing", 1.0, "highest"),  # the best first
        ("Jacobian regularization", 1.0, "highest"),
    ]
    assert table.title == "The λ of each method, at most 2 points of accuracy below its baseline"
    assert any("accuracy budget" in note for note in table.notes)


def test_a_method_without_a_lambda_within_the_limits_keeps_its_name(runs, catalog):
    comparison = compare([run for run in runs if run.experiment == 1], catalog)
    selected = next(column for column in comparison.columns if column.result == "pgd_linf.accuracy")
    none_within = SelectionRule(selected, max_loss=-1.0)
    table = comparison_paper(comparison, [selected], catalog, title="none", rule=none_within).tables[1]
    assert [(row.method, row.lambda_) for row in table.rows] == [
        ("Baseline (no regularizer)", 0.0),
        ("Jacobian regularization", None),
        ("Marginal-density smoothing", None),
    ]


def test_the_caption_tells_what_all_rows_share(runs, catalog):
    network = Component(key="mlp", params={"hidden": 64, "layers": 2, "activation": "gelu"})
    own = [run.model_copy(update={"spec": run.spec.model_copy(update={"model": network})}) for run in runs]
    comparison = compare([run for run in own if run.experiment == 1], catalog)
    setup = comparison_paper(comparison, comparison.columns, catalog, title="one").tables[0].notes[0]
    assert setup == "All rows: BlockMNIST (embedded); MLP, hidden units 64, activation gelu; 15 epochs; Adam."


def test_the_caption_tells_the_steps_of_attacks(catalog):
    attack = Column("pgd_linf.accuracy", "pgd_linf", '{"steps": 40, "restarts": 5}')
    assert setup_notes([], [attack, replace(attack, result="pgd_linf.worst_group")], catalog) == [
        f"{catalog.entry('evaluation', 'pgd_linf').label}: 40 steps, 5 restarts."
    ]
    assert setup_notes([], [replace(attack, params="{}")], catalog) == []


def test_the_caption_leaves_out_in_what_the_rows_differ(runs, catalog):
    own = [run for run in runs if run.experiment == 1]
    longer = own[-1].spec.model_copy(update={"epochs": own[-1].spec.epochs + 1})
    comparison = compare([*own[:-1], own[-1].model_copy(update={"spec": longer})], catalog)
    accuracy = next(column for column in comparison.columns if column.result == "accuracy.accuracy")
    (setup,) = setup_notes(comparison.groups, [accuracy], catalog)
    assert "BlockMNIST" in setup and "epoch" not in setup
    elsewhere = compare([own[0].model_copy(update={"origin": Origin.IMPORTED}), *own[1:]], catalog)
    assert setup_notes(elsewhere.groups, [accuracy], catalog) == []


def test_lines_begin_at_the_baseline(paper: Paper):
    assert [figure.x_label for figure in paper.figures] == ["Test accuracy ↑", "λ", "λ"]
    for figure in paper.figures:
        ((title, lines),) = [(panel.title, panel.lines) for panel in figure.panels]
        assert title == ""
        assert {label: [point.lambda_ for point in line] for label, line in lines.items()} == {
            "Jacobian regularization": [0.0, 0.1, 1.0],
            "Marginal-density smoothing": [0.0, 0.1, 1.0],
        }


def test_figures_have_the_axes_that_the_page_shows(runs, catalog):
    comparison = compare([run for run in runs if run.experiment == 1], catalog)
    accuracy, pgd = (
        next(column for column in comparison.columns if column.result == name)
        for name in ("accuracy.accuracy", "pgd_linf.accuracy")
    )
    paper = comparison_paper(comparison, [accuracy], catalog, title="Experiment 1", across=[(pgd, accuracy)])
    assert [figure.x_label for figure in paper.figures] == ["PGD accuracy, L∞ ε = 0.1 ↑", "λ"]


def test_runs_without_results_give_no_table_and_no_figure(runs, catalog):
    empty = [run.model_copy(update={"results": {}}) for run in runs if run.experiment == 1]
    comparison = compare(empty, catalog)
    paper = comparison_paper(comparison, headline_columns(comparison, catalog), catalog, title="Empty")
    assert paper.tables == [] and paper.figures == []


def test_a_trade_off_has_its_lambda_and_its_front_as_the_page_has_them(runs, catalog, paper: Paper):
    comparison = compare([run for run in runs if run.experiment == 1], catalog)
    accuracy, pgd = (
        next(column for column in comparison.columns if column.result == name)
        for name in ("accuracy.accuracy", "pgd_linf.accuracy")
    )
    shown = {point.opens: point.faint for point in tradeoff(comparison, accuracy, pgd, catalog)[1]}
    assert set(shown.values()) == {True, False}
    figure, over_lambda = paper.figures[0], paper.figures[1]
    points = [point for line in figure.panels[0].lines.values() for point in line]
    assert {point.runs[0]: point.dominated for point in points} == shown
    rows = table_of(figure).to_dict(orient="records")
    front = {(float(row["x"]), float(row["y"])) for row in rows if row["dominated"] == "no"}
    with draw.drawn(layout(figure, line_colors(paper)), rows) as drawn:
        drawn.draw_without_rendering()
        (axes,) = drawn.axes
        (line,) = [line for line in axes.lines if line.get_label() == draw.FRONT]
        assert set(zip(line.get_xdata(), line.get_ydata(), strict=True)) == front
        hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
        beaten = {place for line in hollow for place in zip(line.get_xdata(), line.get_ydata(), strict=True)}
        assert beaten == {(float(row["x"]), float(row["y"])) for row in rows if row["dominated"] == "yes"}
        assert sorted(text.get_text() for text in axes.texts) == ["0", "0.1", "0.1", "1", "1"]  # the baseline once
        assert draw.FRONT in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "Numbers at the marks: λ." in figure_caption(figure) and "Hollow marks" in figure_caption(figure)
    assert "Numbers at" not in figure_caption(over_lambda)
    with draw.drawn(layout(over_lambda, line_colors(paper)), table_of(over_lambda).to_dict(orient="records")) as drawn:
        assert not drawn.axes[0].texts


def test_the_second_constraint_is_in_title_rule_and_columns(runs, catalog):
    comparison = compare([run for run in runs if run.experiment == 1], catalog)
    accuracy, pgd, leakage = (
        next(column for column in comparison.columns if column.result.startswith(name))
        for name in ("accuracy.accuracy", "pgd_linf.accuracy", "leakage")
    )
    rule = SelectionRule(leakage, 0.02, pgd, 0.05)
    paper = comparison_paper(comparison, [accuracy], catalog, title="Experiment 1", rule=rule)
    table = paper.tables[1]
    assert table.title.endswith("below its baseline, with PGD accuracy, L∞ ε = 0.1 at most 5 points worse")
    assert table.results == ["accuracy.accuracy", leakage.result, "pgd_linf.accuracy"]
    assert "limit of the second result" in " ".join(table.notes)
    assert not any(cell.best for row in table.rows for cell in row.cells[1:])
    assert "over the 4 tests of all groups" in " ".join(table.notes)
