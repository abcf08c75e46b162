"""All experiments, newest first, with their progress and their results."""

import streamlit as st

from densitylab.backend.shared.contracts import Experiment
from densitylab.frontend.analysis.formatting import by_owner, escaped
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import REFRESH_SECONDS, api
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.experiment_results import result_line
from densitylab.frontend.ui.status import counts_text, progress_text

PAGE = 20


def fetch(count: int) -> tuple[list[Experiment], bool]:
    """Return the newest experiments that match the filters, and whether there are more."""
    experiments: list[Experiment] = []
    cursor = None
    while len(experiments) < count:
        limit = min(100, count - len(experiments))
        page = api().experiments(q=text or None, archived=archived, limit=limit, cursor=cursor)
        experiments += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return experiments, cursor is not None


def show_experiment(experiment: Experiment) -> None:
    query = {"experiment": str(experiment.id)}
    with st.container(border=True):
        name, state, compare = st.columns([4, 5, 1.2], vertical_alignment="center")
        with name:
            st.page_link("app_pages/experiment.py", label=f"**{escaped(experiment.name)}**", query_params=query)
            tags = " ".join(f":gray-badge[{escaped(tag)}]" for tag in experiment.tags)
            created = f"{experiment.created_at:%Y-%m-%d %H:%M} UTC{by_owner(experiment.owner)}"
            st.caption(f"experiment {experiment.id} · {created} {tags}")
        with state:
            st.markdown(counts_text(experiment.counts) or "no runs")
            if not experiment.finished:
                st.progress(experiment.progress, text=progress_text(experiment))
            if results := result_line(experiment):
                st.caption(escaped(results))
            elif experiment.notes and experiment.finished:
                st.caption(escaped(experiment.notes.splitlines()[0][:120]))
        with compare:
            st.page_link("app_pages/compare.py", label="Compare", icon=":material/scatter_plot:", query_params=query)


def any_active() -> bool:
    try:
        return not all(item.finished for item in fetch(wanted())[0])
    except ApiError:
        return True  # until it is back


def wanted() -> int:
    return st.session_state.get("experiments_wanted", PAGE)


st.title("Experiments")
with st.container(horizontal=True, vertical_alignment="bottom"):
    text = st.text_input(
        "Search", key="search", bind="query-params", placeholder="name, notes or tag", width=260, max_chars=200
    )
    archived = st.toggle("Show archived", key="archived_ones", bind="query-params")


@fragment(run_every=2 * REFRESH_SECONDS if any_active() else None)
def show_experiments() -> None:
    experiments, more = fetch(wanted())
    if not experiments:
        if text or archived:
            st.info("No experiment matches these filters.", icon=":material/filter_alt:")
            return
        st.info(
            "No experiments yet: launch the demo from the home page, or your own experiment.",
            icon=":material/lightbulb:",
        )
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.page_link("app_pages/launch.py", label="Launch", icon=":material/rocket_launch:")
        return
    for experiment in experiments:
        show_experiment(experiment)
    if more and st.button("Show more", icon=":material/expand_more:"):
        st.session_state["experiments_wanted"] = wanted() + PAGE
        st.rerun(scope="fragment")


show_experiments()
