"""The comparison's plots of evaluations: one curve or one distribution at a time, over all runs."""

import functools
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import counted, escaped, runs_text
from densitylab.frontend.analysis.selection_rule import SelectionRule, select_lambda
from densitylab.frontend.charts.evaluation_curves import EvaluationChart, evaluation_charts, parse_click
from densitylab.frontend.charts.evaluation_spreads import MAX_VIOLINS, draw_spreads, evaluation_spreads, sample_spreads
from densitylab.frontend.charts.results import curve_table, description, draw, spread_table
from densitylab.frontend.ui.api import caller, catalog
from densitylab.frontend.ui.cached_arrays import cached_sample_arrays
from densitylab.frontend.ui.chart_card import chart_card
from densitylab.frontend.ui.comparison.comparison_warnings import MAX_RUNS, evaluations_of
from densitylab.frontend.ui.comparison.live_choice import live_choice

FEW_GROUPS = 6  # are drawn together


def show_evaluation_plots(
    comparison: Comparison, runs: Sequence[Run], rule: SelectionRule | None, opens: Callable[[int, str | None], None]
) -> None:
    """Draw the chosen plot: curves with means over seeds, or violins of single test images. Of many groups those with
    the selected λ and their baselines are drawn, unless all are asked for.

    Args:
        comparison: the groups.
        runs: all runs of the groups.
        rule: that selects λ; None: there is none.
        opens: called with the run and the images of a clicked point.
    """
    heading = st.empty()
    main = _main_groups(comparison, rule)
    members = {run.id for group in main for run in group.runs}
    shown = [run for run in runs if run.results and (not main or run.id in members)][:MAX_RUNS]
    evaluations = {run.id: evaluations_of(caller(), run.id, repr(run.results)) for run in shown}
    curves = {item.label: item for item in evaluation_charts(comparison, evaluations, catalog())}
    violins = {item.label: item for item in evaluation_spreads(comparison, evaluations, catalog())}
    if not curves and not violins:
        return
    heading.header("Per-metric plots")
    labels = [*curves, *violins]
    label = live_choice("Plot", labels, _first_plot(curves, rule, shown) or labels[0], key="measured")  # part of links
    if main:
        st.caption(f"The selected λ and their baselines: {counted(len(main), 'group')} of {len(comparison.groups)}.")

    def open_point(click: object) -> None:
        opens(*parse_click(str(click)))

    chosen = curves.get(label) or violins[label]
    if isinstance(chosen, EvaluationChart):
        chart_card(
            draw(chosen.plot, chosen.traces),
            functools.partial(curve_table, chosen.traces),
            key="evaluation-curve",
            label=description(chosen.label, chosen.traces),
            height=420,
            opens=open_point,
            linked=False,
        )
        st.caption(
            "Lines: means over seeds with 95 % Student-t intervals; with one seed, the run's own interval over its "
            "test images. Runs whose x values differ are drawn one by one. Click a point to open a run with the "
            "test images behind it."
        )
    else:
        shown_spreads = sample_spreads(chosen, comparison, cached_sample_arrays)
        chart_card(
            draw_spreads(chosen, shown_spreads),
            functools.partial(spread_table, shown_spreads),
            key="evaluation-spread",
            label=f"{chosen.label}, single test images of {counted(len(shown_spreads), 'run')}",
            height=420,
            opens=open_point,
            linked=False,
        )
        left_out = len(chosen.members) - len(shown_spreads)
        st.caption(
            "One violin per run; each dot is a test image. Click a violin to open the run with its worst images."
            + (
                f" Not shown: {counted(left_out, 'run')} beyond {MAX_VIOLINS} or without values of single images."
                if left_out
                else ""
            )
        )
    for text, ids in chosen.flags.items():
        st.warning(f"{escaped(text)} ({runs_text(ids)})", icon=":material/warning:")


def _first_plot(curves: Mapping[str, EvaluationChart], rule: SelectionRule | None, runs: Sequence[Run]) -> str | None:
    """Return the plot of the evaluation whose result selects λ; None where it has none."""
    if rule is None:
        return None
    name = rule.result.result.partition(".")[0]
    keys = {item.key for run in runs for item in run.evaluations if item.name == name}
    return next((label for label, chart in curves.items() if chart.evaluation in keys), None)


def _main_groups(comparison: Comparison, rule: SelectionRule | None) -> list[Group]:
    """Return the groups with the selected λ and their baselines; none where all groups are drawn: there are few, or no
    λ is selected, or the user wants all."""
    if rule is None or len(comparison.groups) <= FEW_GROUPS:
        return []
    rows = [row for row in select_lambda(comparison, rule) if row.group is not None]
    found = {id(group): group for row in rows for group in (row.baseline, row.group) if group is not None}
    if not found or len(found) == len(comparison.groups):
        return []
    everything = st.toggle(f"All {len(comparison.groups)} groups", key="all-groups", bind="query-params")
    return [] if everything else list(found.values())
