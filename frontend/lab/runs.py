"""Which runs stand side by side."""

from collections.abc import Sequence

import streamlit as st

from backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION, Run, Status
from frontend.aggregate import grouped
from frontend.client import ApiError
from frontend.comparison import compare
from frontend.lab.link import key, put, value
from frontend.panels import RunColumn
from frontend.parts import api, catalog
from frontend.words import joined, run_name

MAX_RUNS = MAX_RUNS_PER_ATTRIBUTION


def choose_runs(what: str) -> list[Run]:
    """The chosen runs that have a model; those of the link that are gone, and those without a model, are named. Stops
    the page where there is none to choose or none is chosen.

    Args:
        what: shown of the chosen runs, in words.
    """
    offered = {run.id: run for run in api().runs(status=Status.SUCCEEDED, limit=200).items}
    gone = []
    for run_id in value("runs"):
        if run_id not in offered:
            try:
                offered[run_id] = api().run(run_id)
            except ApiError as error:
                if error.status not in (404, 422):
                    raise
                gone.append(run_id)
    if gone:
        st.error(f"No longer there: run {joined(gone)}. They may have been deleted; the others are shown.",
                 icon=":material/link_off:")
        put("runs", [run_id for run_id in value("runs") if run_id not in gone])
    if not offered:
        st.info("No trained run yet: maps need one. The demo on the home page trains nine in a few minutes.",
                icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    if len(value("runs")) > MAX_RUNS:
        st.warning(f"A view shows at most {MAX_RUNS} runs; the first {MAX_RUNS} of this link are shown.",
                   icon=":material/warning:")
        put("runs", value("runs")[:MAX_RUNS])
    runs_cell, experiment_cell = st.columns([5, 2], vertical_alignment="bottom")
    experiments = {item.id: item for item in api().experiments(limit=50).items}
    experiment_cell.selectbox(
        "Or an experiment's", list(experiments), index=None, key=key("experiment"), on_change=_take_experiment,
        format_func=lambda number: f"{number}: {experiments[number].name}", placeholder="one run for each λ",
        help="One run for each of its settings, of the first seed.",
    )
    chosen = runs_cell.multiselect(
        f"Runs, 1 to {MAX_RUNS}", list(offered), key=key("runs"), max_selections=MAX_RUNS,
        format_func=lambda run_id: run_name(offered[run_id], catalog()), placeholder="choose trained runs", wrap=True,
    )
    without = [offered[run_id] for run_id in chosen if not offered[run_id].status.final
               or offered[run_id].checkpoint_step is None]
    for run in without:
        st.info(f"Run {run.id} is {run.status.value} and has no finished model, so nothing can be drawn of it"
                + (" before it has finished." if not run.status.final else "."), icon=":material/hourglass_empty:")
    runs = [offered[run_id] for run_id in chosen if offered[run_id] not in without]
    if not runs:
        st.info(f"Choose runs above, for example one for each λ of an experiment: {what}.", icon=":material/lightbulb:")
        st.page_link("app_pages/compare.py", label="Or start from an experiment", icon=":material/scatter_plot:")
        st.stop()
    return runs


def _take_experiment() -> None:
    number = st.session_state[key("experiment")]
    if number is not None:
        put("runs", one_of_each(api().runs_of(number)))


def one_of_each(runs: list[Run]) -> list[int]:
    """Ids of one trained run for each setting, of the smallest seed; spread over λ where there are too many."""
    trained = [run for run in runs if run.status is Status.SUCCEEDED]
    first = [min(group.runs, key=lambda run: run.spec.seed) for group in grouped(trained)]
    first.sort(key=lambda run: run.spec.lambda_)
    if len(first) > MAX_RUNS:
        first = [first[round(place * (len(first) - 1) / (MAX_RUNS - 1))] for place in range(MAX_RUNS)]
    return [run.id for run in first]


def columns(chosen: Sequence[Run]) -> list[RunColumn]:
    """The runs from the baseline on, each with what tells it from the others."""
    found = compare(chosen, catalog())
    runs = [run for group in found.groups for run in group.runs]
    one_seed = len({run.spec.seed for run in runs}) == 1
    return [
        RunColumn(run.id, found.label_of(run).rpartition(", seed")[0] if one_seed else found.label_of(run),
                  found.run_colors[run.id]) for run in runs
    ]


def class_names(chosen: Sequence[Run]) -> list[str]:
    """Of their one data set; none where it is no longer on offer."""
    data = catalog().entry("dataset", chosen[0].spec.dataset.key)
    return data.class_names if data else []
