"""The newest results: a few experiments, and what the tests say of one of them, with one chart."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Experiment
from densitylab.backend.shared.statistics.groups import Column
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.best_method import selected_text
from densitylab.frontend.analysis.comparison import Comparison, column_label, compare, headline_columns
from densitylab.frontend.analysis.formatting import escaped, joined
from densitylab.frontend.analysis.selection_rule import default_rule
from densitylab.frontend.analysis.summary import summary_sentences
from densitylab.frontend.analysis.tables import numbers
from densitylab.frontend.charts.lambda_response import lines
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import chart_card
from densitylab.frontend.ui.comparison.cached_figures import cached_lambda_response, cached_tradeoff
from densitylab.frontend.ui.comparison.open_run import open_run
from densitylab.frontend.ui.experiment_results import cached_runs, evaluated, result_line

SHOWN = 3  # experiments


def show_newest_results(experiments: Sequence[Experiment]) -> None:
    """Draw the newest experiments with results, and what the tests say of one of them, with a chart: of the newest with
    results to compare, else of the newest with results. Draw nothing without any.

    Args:
        experiments: newest first.
    """
    with_results = [item for item in experiments if evaluated(item)]
    charted = _first_to_compare(with_results)
    if charted is None:
        return
    listed = [item for item in with_results if item is charted[0] or result_line(item)]
    if charted[0] not in listed[:SHOWN]:
        listed.insert(SHOWN - 1, charted[0])
    _show(listed[:SHOWN], *charted)


def _first_to_compare(experiments: Sequence[Experiment]) -> tuple[Experiment, Comparison] | None:
    single = None
    for experiment in experiments:
        comparison = compare(cached_runs(experiment), catalog())
        if sum(bool(group.means) for group in comparison.groups) > 1:
            return experiment, comparison
        if single is None and headline_columns(comparison, catalog()):
            single = experiment, comparison
    return single


def _sentences(comparison: Comparison, columns: Sequence[Column], *, preliminary: bool) -> list[tuple[str, str]]:
    """Return the selected λ, then what the tests say of each result."""
    rule = default_rule(comparison, columns)
    selected = selected_text(comparison, rule, catalog(), preliminary=preliminary) if rule else ("", "")
    summary = summary_sentences(comparison, columns, catalog(), preliminary=preliminary)
    return [selected, *summary] if selected[1] else summary


def _show(experiments: Sequence[Experiment], charted: Experiment, comparison: Comparison) -> None:
    columns = headline_columns(comparison, catalog())
    st.header("Newest results")
    words, chart = st.columns(2)
    with words:
        for experiment in experiments:
            with st.container(gap="xxsmall"):
                query = {"experiment": str(experiment.id)}
                st.page_link("app_pages/compare.py", label=f"**{escaped(experiment.name)}**", query_params=query)
                sentences = []
                if experiment is charted:
                    sentences = _sentences(comparison, columns, preliminary=not experiment.finished)
                if sentences:
                    st.markdown("\n".join(f"- **{escaped(result)}:** {escaped(text)}" for result, text in sentences))
                else:
                    st.caption(escaped(result_line(experiment)))
        if len(experiments) > 1:
            st.page_link(
                "app_pages/compare.py",
                label=f"Compare these {len(experiments)} experiments",
                icon=":material/scatter_plot:",
                query_params={"experiment": joined([experiment.id for experiment in experiments])},
            )
    drawable = [column for column in columns if any(len(line.points) > 1 for line in lines(comparison, column))]
    drawable.sort(key=lambda column: column.result == ACCURACY)  # the accuracy where there is nothing else
    others = [column for column in columns if column.result != ACCURACY]
    accuracy = next((column for column in columns if column.result == ACCURACY), None)
    if drawable:
        label = f"{column_label(drawable[0], comparison, catalog())} over λ"
        figure = cached_lambda_response(comparison.fingerprint, label, comparison, drawable[0])
        shown = drawable[:1]
    elif accuracy and others:
        shown = [accuracy, others[0]]
        label = " and ".join(column_label(column, comparison, catalog()) for column in shown)
        figure = cached_tradeoff(comparison.fingerprint, [label], comparison, *shown)[0]
    else:
        return
    with chart:
        if len(experiments) > 1:
            st.caption(escaped(charted.name))
        chart_card(
            figure,
            lambda: pd.DataFrame(numbers(comparison, shown, catalog())),
            key="newest-results",
            label=label,
            height=330,
            opens=lambda run_id: open_run(run_id, comparison),
            linked=False,
        )
