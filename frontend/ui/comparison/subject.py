"""The choice of an experiment, or of single runs, to compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.formatting import counted, joined
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import api
from densitylab.frontend.ui.query_params import query_int, query_ints


@dataclass(frozen=True)
class Subject:
    """The runs under comparison."""

    name: str
    experiment: int | None  # None: runs chosen one by one
    fetch: Callable[[], list[Run]]


def choose_subject() -> Subject:
    """Take the runs or the experiment from the link, or let the user choose an experiment."""
    run_ids = query_ints("runs")
    return _chosen_runs(run_ids) if run_ids else _chosen_experiment()


def _chosen_runs(run_ids: Sequence[int]) -> Subject:
    existing, missing = [], []
    for run_id in run_ids:
        try:
            existing.append(api().run(run_id).id)
        except ApiError as error:
            if error.status != 404:
                raise
            missing.append(run_id)
    if missing:
        st.warning(f"Not found: run {joined(missing)}. It may have been deleted.", icon=":material/link_off:")
    return Subject(f"Runs {joined(existing)}", None, lambda: [api().run(run_id) for run_id in existing])


def _chosen_experiment() -> Subject:
    wanted = query_int("experiment")
    experiments = api().experiments(limit=50).items
    if not experiments:
        st.info("Nothing to compare yet: launch the demo from the home page.", icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    if wanted is not None and wanted not in [item.id for item in experiments]:
        try:
            experiments.append(api().experiment(wanted))
        except ApiError as error:
            if error.status != 404:
                raise
            st.error(
                f"There is no experiment {wanted}; it may have been deleted. Choose another.",
                icon=":material/link_off:",
            )
            wanted = None
    positions = {item.id: index for index, item in enumerate(experiments)}
    chosen = st.selectbox(
        "Experiment",
        experiments,
        index=positions[wanted] if wanted else 0,
        key=f"experiment-{wanted}",
        format_func=lambda item: (
            f"{item.id}: {item.name} ({counted(len(item.runs), 'run')}, {item.created_at:%Y-%m-%d %H:%M})"
        ),
    )
    if chosen.id != wanted:
        st.query_params["experiment"] = str(chosen.id)
    return Subject(chosen.name, chosen.id, lambda: api().runs_of(chosen.id))
