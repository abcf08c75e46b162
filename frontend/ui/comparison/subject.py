"""The choice of experiments, or of single runs, to compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Run
from densitylab.frontend.analysis.formatting import counted, joined, ranges, runs_text
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.address import replace_parameter
from densitylab.frontend.ui.api import api, find
from densitylab.frontend.ui.query_params import query_ints

OFFERED = 100  # experiments at once
MAX_EXPERIMENTS = 12
_BEGUN = "compared_experiments"  # which the choice begins with


@dataclass(frozen=True)
class Subject:
    """The runs under comparison."""

    name: str
    experiments: Sequence[int]  # none: runs chosen one by one
    fetch: Callable[[], list[Run]]

    @property
    def experiment(self) -> int | None:
        """The only experiment; None where there are several, or runs were chosen one by one."""
        return self.experiments[0] if len(self.experiments) == 1 else None


def choose_subject() -> Subject:
    """Take the runs or the experiments from the link, or let the user choose experiments."""
    run_ids = query_ints("runs")
    return _chosen_runs(run_ids) if run_ids else _chosen_experiments()


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
        st.warning(f"Not found: {runs_text(missing)}. It may have been deleted.", icon=":material/link_off:")
    return Subject(f"Runs {ranges(existing)}", [], lambda: [api().run(run_id) for run_id in existing])


def _chosen_experiments() -> Subject:
    linked = query_ints("experiment")[:MAX_EXPERIMENTS]
    begun: list[int] = st.session_state.get(_BEGUN, [])
    # Until the browser sends the address that this page has given itself
    shown = begun if f"experiments-{joined(begun)}" in st.session_state else []
    wanted = [item for item in map(_experiment, linked or shown) if item is not None]
    choice, search = st.columns([4, 1.4], vertical_alignment="bottom")
    text = search.text_input(
        "Find an experiment",
        key="find",
        persist_state="page",
        max_chars=200,
        placeholder="name, notes, tag or number",
        help=f"The list beside has the newest {OFFERED} experiments that match.",
    )
    listed = api().experiments(limit=OFFERED, q=text.strip() or None).items
    if text.strip().isdecimal() and (numbered := _experiment(int(text))) is not None:
        listed.insert(0, numbered)
    if not listed and not wanted and not text:
        st.info("Nothing to compare yet: launch the demo from the home page.", icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    offered = {item.id: item for item in [*wanted, *listed]}
    start = [item.id for item in wanted] or ([] if text else [listed[0].id])
    st.session_state[_BEGUN] = start
    chosen = choice.multiselect(
        "Experiments",
        list(offered),
        start,
        key=f"experiments-{joined(start)}",
        max_selections=MAX_EXPERIMENTS,
        format_func=lambda number: _label(offered[number]),
        placeholder="choose one or several",
        wrap=True,
        select_all=False,
    )
    if not listed:
        st.caption("No experiment matches; the chosen ones stay.")
    if not chosen:
        st.info("Choose an experiment above.", icon=":material/lightbulb:")
        st.stop()
    if not linked and chosen == start:
        replace_parameter("experiment", joined(chosen))  # nobody has chosen it
    elif chosen != [item.id for item in wanted]:
        st.query_params["experiment"] = joined(chosen)
    name = ", ".join(offered[number].name for number in chosen)
    return Subject(
        name,
        chosen,
        lambda: [run for number in chosen for run in api().runs_of(number)],
    )


def _label(experiment: Experiment) -> str:
    runs = counted(len(experiment.runs), "run")
    return f"{experiment.id}: {experiment.name} ({runs}, {experiment.created_at:%Y-%m-%d %H:%M})"


def _experiment(number: int) -> Experiment | None:
    """Return the experiment; None, with an error on the page, where there is none."""
    found = find(api().experiment, number)
    if found is None:
        st.error(
            f"There is no experiment {number}; it may have been deleted. Choose another.", icon=":material/link_off:"
        )
    return found
