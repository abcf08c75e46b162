"""All experiments, newest first: how far each is, and the way into it."""

import streamlit as st

from backend.shared.contracts import Experiment, Status
from frontend.client import ApiError
from frontend.parts import REFRESH_SECONDS, api, counts_text, show_problem
from frontend.words import duration, escaped

PAGE = 20


def fetch(count: int) -> tuple[list[Experiment], bool]:
    """The newest experiments that pass the filters, and whether there are more."""
    found: list[Experiment] = []
    cursor = None
    while len(found) < count:
        page = api().experiments(q=text or None, archived=archived, limit=min(100, count - len(found)), cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, cursor is not None


def show_experiment(experiment: Experiment) -> None:
    query = {"experiment": str(experiment.id)}
    with st.container(border=True):
        name, state, compare = st.columns([4, 5, 1.2], vertical_alignment="center")
        with name:
            st.page_link("app_pages/experiment.py", label=f"**{escaped(experiment.name)}**", query_params=query)
            tags = " ".join(f":gray-badge[{escaped(tag)}]" for tag in experiment.tags)
            st.caption(f"experiment {experiment.id} · {experiment.created_at:%Y-%m-%d %H:%M} UTC {tags}")
        with state:
            st.markdown(counts_text(experiment.counts) or "no runs")
            if is_active(experiment):
                left = f", {duration(experiment.eta_seconds)} left" if experiment.eta_seconds is not None else ""
                st.progress(experiment.progress, text=f"{experiment.progress:.0%}{left}")
            elif experiment.notes:
                st.caption(escaped(experiment.notes.splitlines()[0][:120]))
        with compare:
            st.page_link("app_pages/compare.py", label="Compare", icon=":material/scatter_plot:", query_params=query)


def is_active(experiment: Experiment) -> bool:
    return any(experiment.counts.get(status) for status in (Status.QUEUED, Status.RUNNING))


def any_active() -> bool:
    try:
        return any(is_active(item) for item in fetch(wanted())[0])
    except ApiError:
        return True  # until it is back


def wanted() -> int:
    return st.session_state.get("experiments_wanted", PAGE)


st.title("Experiments")
with st.container(horizontal=True, vertical_alignment="bottom"):
    text = st.text_input("Search", key="search", bind="query-params", placeholder="name, notes or tag", width=260)
    archived = st.toggle("Archived ones", key="archived_ones", bind="query-params")


@st.fragment(run_every=2 * REFRESH_SECONDS if any_active() else None)
def show_experiments() -> None:
    try:
        found, more = fetch(wanted())
    except ApiError as error:
        show_problem(error)
        st.caption("Trying again every few seconds.")
        return
    if not found:
        if text or archived:
            st.info("No experiment passes these filters.", icon=":material/filter_alt:")
            return
        st.info("No experiments yet: launch the demo from the home page, or your own.", icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.page_link("app_pages/launch.py", label="Launch", icon=":material/rocket_launch:")
        return
    for experiment in found:
        show_experiment(experiment)
    if more and st.button("Show more", icon=":material/expand_more:"):
        st.session_state["experiments_wanted"] = wanted() + PAGE
        st.rerun(scope="fragment")


show_experiments()
