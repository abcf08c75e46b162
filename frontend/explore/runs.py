"""The choice of the runs to show side by side."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION, Run, Status
from densitylab.backend.shared.statistics.groups import group_runs
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.formatting import escaped, run_name, runs_text
from densitylab.frontend.analysis.map_selection import one_of_each
from densitylab.frontend.analysis.origins import seed_of
from densitylab.frontend.explore.link import key, put, value
from densitylab.frontend.maps.view import RunColumn
from densitylab.frontend.ui.api import api, catalog, find
from densitylab.frontend.ui.entry_points import guarded
from densitylab.frontend.ui.query_params import query_int

MAX_RUNS = MAX_RUNS_PER_ATTRIBUTION
SHOWN = 3  # experiments, where no run is chosen
OFFERED_RUNS, OFFERED_EXPERIMENTS = 200, 50  # in the lists


def choose_runs(purpose: str, *, opened: bool) -> list[Run]:
    """Return the chosen runs that have a model; stop the page where there is none.

    Args:
        purpose: the content of the page, as a clause after a colon.
        opened: whether the page has just been opened by a link that names no runs. It begins with the experiment that
            the link names, else with the runs of the page before, else with the newest experiment that has a model.
    """
    sidebar = st.sidebar.expander("Runs", expanded=True)
    words = sidebar.text_input(
        "Find runs and experiments",
        key="runs_words",
        persist_state="page",
        max_chars=200,
        placeholder="name, notes, tag or number",
        help=f"The lists below have the newest that match: {OFFERED_RUNS} runs, {OFFERED_EXPERIMENTS} "
        "experiments with a trained model.",
    ).strip()
    listed = api().experiments(q=words or None, has_model=True, limit=OFFERED_EXPERIMENTS)
    experiments = {item.id: item for item in listed.items}
    choices = {run.id: run for run in api().runs(status=Status.SUCCEEDED, q=words or None, limit=OFFERED_RUNS).items}
    if opened:
        linked = query_int("experiment")
        put("runs", [run_id for run_id in value("runs") if run_id in choices or find(api().run, run_id) is not None])
        if linked is not None:
            _show_linked(linked)
        elif experiments and not value("runs"):
            _show_experiment(next(iter(experiments)))
    missing = []
    for run_id in value("runs"):
        if run_id not in choices:
            found = find(api().run, run_id)
            if found is None:
                missing.append(run_id)
            else:
                choices[run_id] = found
    if missing:
        st.error(
            f"Not found: {runs_text(missing)}. It may have been deleted; the others are shown.",
            icon=":material/link_off:",
        )
        put("runs", [run_id for run_id in value("runs") if run_id not in missing])
    if not choices and not words:
        st.info(
            "No trained run yet. The demo on the home page trains nine in a few minutes.",
            icon=":material/lightbulb:",
        )
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    if len(value("runs")) > MAX_RUNS:
        st.warning(
            f"The page shows at most {MAX_RUNS} runs; the first {MAX_RUNS} of the link are shown.",
            icon=":material/warning:",
        )
        put("runs", value("runs")[:MAX_RUNS])
    with sidebar:
        chosen = st.multiselect(
            f"Runs (at most {MAX_RUNS})",
            list(choices),
            key=key("runs"),
            max_selections=MAX_RUNS,
            format_func=lambda run_id: run_name(choices[run_id], catalog()),
            placeholder="choose trained runs",
            wrap=True,
            select_all=False,
        )
        st.selectbox(
            "…or pick an experiment",
            list(experiments),
            index=None,
            key=key("experiment"),
            on_change=_take_experiment,
            format_func=lambda number: f"{number}: {experiments[number].name}",
            placeholder="one run per group",
            help="The run of the first seed of each group.",
        )
    without = [
        choices[run_id]
        for run_id in chosen
        if not choices[run_id].status.final or choices[run_id].checkpoint_step is None
    ]
    for run in without:
        st.info(
            f"Run {run.id} is {run.status.value} and has no trained model" + (" yet." if not run.status.final else "."),
            icon=":material/hourglass_empty:",
        )
    runs = [choices[run_id] for run_id in chosen if choices[run_id] not in without]
    if not runs:
        st.info(
            f"Choose runs in the sidebar, for example one for each λ of an experiment: {purpose}.",
            icon=":material/lightbulb:",
        )
        for experiment in list(experiments.values())[:SHOWN]:
            st.button(
                f"Show experiment {experiment.id}: {escaped(experiment.name)}",
                key=f"lab_show_experiment_{experiment.id}",
                on_click=_show_experiment,
                args=(experiment.id,),
            )
        st.page_link("app_pages/compare.py", label="Compare an experiment", icon=":material/scatter_plot:")
        st.stop()
    return runs


def _show_linked(experiment: int) -> None:
    _show_experiment(experiment)
    if not value("runs"):
        st.info(f"Experiment {experiment} does not exist, or has no trained model yet.", icon=":material/link_off:")


def _take_experiment() -> None:
    experiment = st.session_state[key("experiment")]
    if experiment is not None:
        _show_experiment(experiment)


@guarded
def _show_experiment(experiment: int) -> None:
    groups = group_runs(api().runs_of(experiment), catalog().plain())
    put("runs", [run.id for run in one_of_each(groups, MAX_RUNS).runs])


def columns(chosen: Sequence[Run]) -> list[RunColumn]:
    """Return the runs' columns, baselines first, each labelled with the settings that differ."""
    comparison = compare(chosen, catalog())
    runs = [run for group in comparison.groups for run in group.runs]
    one_seed = len({seed_of(run) for run in runs} - {None}) == 1
    return [
        RunColumn(
            run.id,
            comparison.label_of(run).removesuffix(f", seed {run.spec.seed}" if one_seed else ""),
            comparison.run_colors[run.id],
        )
        for run in runs
    ]


def class_names(chosen: Sequence[Run]) -> list[str]:
    """Return the class names of the runs' data set; none where the catalog does not have it."""
    data = catalog().entry("dataset", chosen[0].spec.dataset.key)
    return data.class_names if data else []
