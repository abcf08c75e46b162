"""Compare the runs of experiments, or any set of runs: what the tests allow to say, a table, charts and curves."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, headline_columns
from densitylab.frontend.analysis.formatting import counted, escaped, run_name, status_text
from densitylab.frontend.analysis.selection_rule import SelectionRule
from densitylab.frontend.analysis.summary import correction_text, summary_sentences
from densitylab.frontend.analysis.time_left import time_left
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.evaluation_progress import evaluations_done
from densitylab.frontend.frozen.experiment import freeze_experiment
from densitylab.frontend.paper.comparison import comparison_paper
from densitylab.frontend.paper.contents import Paper
from densitylab.frontend.report.experiment_report import report_of_runs
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.bulk_actions import cancel
from densitylab.frontend.ui.comparison.comparison_warnings import comparison_warnings
from densitylab.frontend.ui.comparison.evaluation_plots import show_evaluation_plots
from densitylab.frontend.ui.comparison.group_table import show_group_table
from densitylab.frontend.ui.comparison.maps_button import maps_button
from densitylab.frontend.ui.comparison.open_run import open_run
from densitylab.frontend.ui.comparison.options import Options, show_options
from densitylab.frontend.ui.comparison.result_charts import (
    show_lambda_responses,
    show_parallel_coordinates,
    show_selection,
    show_tradeoffs,
)
from densitylab.frontend.ui.comparison.subject import choose_subject
from densitylab.frontend.ui.comparison.training_curves import show_training_curves
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.frozen_download import show_frozen_page
from densitylab.frontend.ui.kept_comparison import kept_comparison
from densitylab.frontend.ui.live_chart import load_charts
from densitylab.frontend.ui.paper_downloads import show_paper_downloads
from densitylab.frontend.ui.warning_line import show_warning_line

MAX_LINKS = 50
RULE = "selection-rule"  # in the state of the session
TABS = ("Table", "Charts", "Best λ and claims", "Training curves", "Per-metric plots", "Runs")


def show_progress(runs: Sequence[Run], experiments: Sequence[int]) -> None:
    """Draw how far the runs are that are neither cancelled nor failed, and the time left of all runs of their
    experiments; of runs that were chosen one by one, when the next training ends."""
    counts = {status: sum(run.status is status for run in runs) for status in Status}
    words = " · ".join(f"{status_text(status)} {count}" for status, count in counts.items() if count)
    evaluations = Counter[Status]()
    for run in runs:
        evaluations.update(run.evaluation_counts)
    ended, total = evaluations_done(evaluations)
    if ended < total:
        words += f" · {ended} of {total} evaluations done"
    if left := time_left([api().experiment(number) for number in experiments]):
        words += f" · {left}"
    if all(run.status.final for run in runs):
        st.caption(f"{counted(len(runs), 'run')}: {words}")
        return
    expected = [run for run in runs if not run.status.unsuccessful]
    done = sum(run.progress for run in expected) / len(expected)
    known = [run.eta_seconds for run in runs if run.eta_seconds is not None]
    if known and not experiments:
        words += f" · next training ends in {duration(min(known))}"
    st.progress(done, text=f"{counted(len(runs), 'run')}: {words}")


def show_runs(runs: Sequence[Run]) -> None:
    shown = st.container()
    if len(runs) > MAX_LINKS:  # so many links slow the page down even while they are folded
        shown = st.expander(f"All {counted(len(runs), 'run')}", key="folded-runs", on_change="rerun")
        if not shown.open:
            return
    with shown:
        if len(runs) > MAX_LINKS:
            st.caption(f"The first {MAX_LINKS}; click a point of a chart to open any other.")
        for run in runs[:MAX_LINKS]:
            name, state = st.columns([4, 2])
            label, query = escaped(run_name(run, catalog())), {"run": str(run.id)}
            name.page_link("app_pages/run.py", label=label, query_params=query)
            error = f": {escaped(run.error.splitlines()[-1][:80])}" if run.error else ""
            state.caption(status_text(run.status) + error)


def count_unfinished(runs: Sequence[Run]) -> int:
    """Return how many runs are not trained, or have an evaluation that has not ended."""
    return sum(not run.status.final or (run.status is Status.SUCCEEDED and not run.measured) for run in runs)


def show_report(runs: Sequence[Run], experiment: int | None, options: Options) -> None:
    """Create the report of what the page shows on request, and then offer it: it may have to wait for its maps."""
    rule = st.session_state.get(RULE)
    shown = tuple(run.id for run in runs), options, rule
    if st.button(
        "Make a report",
        icon=":material/description:",
        help="One HTML file of the runs, groups and results that this page shows: tables, charts, maps, provenance",
    ):
        with st.spinner("Collecting results and maps"), show_api_errors():
            made = report_of_runs(api(), runs, baseline=options.baseline, results=options.results, rule=rule)
            st.session_state["report"] = shown, made
    kept = st.session_state.get("report")
    if kept and kept[0] == shown:
        st.download_button(
            "Download the report",
            kept[1],
            "comparison.html" if experiment is None else f"experiment-{experiment}.html",
            "text/html",
            icon=":material/download:",
            type="primary",
            on_click="ignore",
        )


def remember_rule(rule: SelectionRule | None) -> None:
    """Keep the page's selection of λ for its report; a report of another one is not offered any longer."""
    changed = st.session_state.get(RULE) != rule
    st.session_state[RULE] = rule
    if changed and "report" in st.session_state:
        st.rerun()


def show_actions(runs: Sequence[Run], comparison: Comparison, experiment: int | None, options: Options) -> None:
    maps_button(comparison)
    show_report(runs, experiment, options)
    active = [run.id for run in runs if not run.status.final]
    if active and st.button(f"Cancel {len(active)}", icon=":material/stop:"):
        cancel(active)
    if experiment is not None:
        if st.button("Experiment", icon=":material/science:", help="Its runs, notes and tags; add seeds or λ"):
            st.switch_page("app_pages/experiment.py", query_params={"experiment": str(experiment)})
        show_frozen_page(f"experiment-{experiment}", lambda: freeze_experiment(api(), experiment))


def show_paper(
    comparison: Comparison,
    columns: Sequence[Column],
    rule: SelectionRule | None,
    across: Sequence[tuple[Column, Column]],
) -> None:
    """Draw the files for a paper, with the λ that is selected on the page and the trade-offs that it shows."""
    if not columns:
        return
    name = "comparison" if subject.experiment is None else f"experiment-{subject.experiment}"

    known = catalog()

    def make() -> Paper:
        return comparison_paper(comparison, columns, known, title=subject.name, across=across, rule=rule)

    show_paper_downloads(name, make)


def show_summary(comparison: Comparison, columns: Sequence[Column], runs: int, unfinished: int) -> None:
    """Say of each result what the tests allow to say; while runs are unfinished, what the results so far are."""
    sentences = summary_sentences(comparison, columns, catalog(), preliminary=unfinished > 0)
    if sentences:
        st.markdown("\n".join(f"- **{escaped(result)}:** {escaped(words)}" for result, words in sentences))
    if unfinished and comparison.columns:
        st.caption(
            f"Preliminary: {runs - unfinished} of {counted(runs, 'run')} are trained and evaluated. Whether "
            "differences are established is said once all are."
        )
    elif sentences and (tests := correction_text(comparison, columns)):
        st.caption(tests)


st.title("Compare")
subject = choose_subject()
first = subject.fetch()
if not first:
    st.info("None of these runs exists any more. Choose others on the Runs page.", icon=":material/lightbulb:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()
if not subject.experiments:  # the choice above names them
    st.header(escaped(subject.name))
load_charts()
live = count_unfinished(first) > 0
whole = kept_comparison(first, leave_out=True)
actions = st.container(horizontal=True, key="comparison-actions")
with actions:
    options = show_options(whole)
first = options.shown(first)
narrowed = options.runs is not None or options.baseline is not None
first_comparison = kept_comparison(first, baseline=options.baseline, leave_out=True) if narrowed else whole
just_fetched = [first, first]  # for the first time that the two parts below are drawn


def latest() -> tuple[list[Run], Comparison]:
    runs = just_fetched.pop() if just_fetched else options.shown(subject.fetch())
    if runs is first:
        return runs, first_comparison
    return runs, kept_comparison(runs, baseline=options.baseline, leave_out=True)


@fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_live_actions() -> None:
    with st.container(horizontal=True):
        show_actions(*latest(), subject.experiment, options)


@fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_live() -> None:
    runs, comparison = latest()
    unfinished = count_unfinished(runs)
    if live and not unfinished:
        st.rerun()
    columns = headline_columns(comparison, catalog())
    if options.results:
        columns = [column for column in comparison.columns if column.result in options.results]
    show_progress(runs, subject.experiments)
    show_summary(comparison, columns, len(runs), unfinished)
    table, charts, best, curves, plots, each = st.tabs(TABS, key="tab", bind="query-params")
    if not comparison.columns:
        for tab in (charts, best, plots):
            tab.caption("No results yet: they come with the evaluations after the training.")
    with table:  # first, since it is the tab that is open; the warnings above it take a request for each run
        warnings = st.container()
        show_group_table(comparison, columns, preliminary=unfinished > 0)
    with best:
        rule = show_selection(comparison, columns, experiment=subject.experiment, preliminary=unfinished > 0)
        remember_rule(rule)
    with charts:
        show_lambda_responses(comparison, columns)
        across = show_tradeoffs(comparison)
        show_parallel_coordinates(comparison, columns)
    with warnings:
        show_warning_line(comparison_warnings(comparison, columns))
    with table:
        show_paper(comparison, columns, rule, across)
    with curves:
        show_training_curves(comparison, runs)
    with plots:
        show_evaluation_plots(comparison, runs, rule, lambda run_id, images: open_run(run_id, comparison, images))
    with each:
        show_runs(runs)


with actions:
    show_live_actions()
show_live()
