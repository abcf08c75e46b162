"""The launch of a study: what it would launch, its price, and what would be left out."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts.catalog import CatalogEntry, CatalogStudySize
from densitylab.backend.shared.contracts.studies import StudyLaunchPreflight, StudyPreflight
from densitylab.frontend.analysis.formatting import as_sentence, counted, escaped
from densitylab.frontend.analysis.study_plan import evaluation_lines, plan_table
from densitylab.frontend.analysis.study_text import price_text
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.price import time_text
from densitylab.frontend.ui.wrapped_table import wrapped_table

_OWN = ""  # the study's own data set


def show_launch(entry: CatalogEntry, size: CatalogStudySize) -> None:
    """Draw the content and the price of the study at this size, the choice of other data sets, and the button."""
    with show_api_errors():
        cost = api().preflight_study(entry.key, size.key)
        replaced = _choose_datasets(cost, f"{entry.key}-{size.key}")
        if replaced:
            cost = api().preflight_study(entry.key, size.key, datasets=replaced)
        _show_plan(cost.launches)
        _show_cost(cost)
        _show_left_out(cost.launches)
        with st.container(horizontal=True):
            if st.button(
                f"Launch {counted(cost.runs, 'run')}",
                type="primary",
                icon=":material/rocket_launch:",
                key="launch-study",
                disabled=not cost.runs,
            ):
                study = api().launch_study(entry.key, size.key, datasets=replaced)
                st.switch_page("app_pages/studies.py", query_params={"study": str(study.id)})
            if st.button("Cancel", key="no-launch"):
                st.query_params.clear()
                st.rerun()


def _choose_datasets(cost: StudyPreflight, key: str) -> Mapping[str, str]:
    """Draw a choice for each data set of the study; return those that are replaced."""
    offered = {entry.key: entry.label for entry in catalog().entries("dataset")}
    replaced = {}
    with st.expander("Other data sets in place of the study's", key=f"{key}/other-data"):
        for own in cost.datasets:
            other = st.selectbox(
                offered.get(own, own),
                [_OWN, *(name for name in offered if name != own)],
                key=f"replace-{key}-{own}",
                persist_state="page",
                format_func=lambda name: offered[name] if name else "the study's own",
            )
            if other:
                replaced[own] = other
    return replaced


def _show_plan(launches: Sequence[StudyLaunchPreflight]) -> None:
    table = plan_table(launches, catalog())
    wrapped_table(pd.DataFrame(table.rows, columns=table.columns))
    for line in evaluation_lines(launches, catalog()):
        st.markdown(f"**Evaluations** of {escaped(line)}.")


def _show_cost(cost: StudyPreflight) -> None:
    """Draw the price as the page Launch does."""
    most = f" to {cost.max_runs:,}" if cost.max_runs > cost.runs else ""

    def scaled(seconds: float | None) -> str:
        if seconds is None or not cost.runs:
            return time_text(None)
        return f"{'up to ' if most else ''}{time_text(seconds * cost.max_runs / cost.runs)}"

    in_all = None if cost.seconds is None or cost.evaluation_seconds is None else cost.seconds + cost.evaluation_seconds
    runs, training, evaluations, both = st.columns(4)
    runs.metric("Runs", f"{cost.runs:,}{most}")
    training.metric("Training", scaled(cost.seconds), help=f"On {counted(cost.workers, 'training worker')}.")
    evaluations.metric(
        "Evaluations",
        scaled(cost.evaluation_seconds),
        help="On the same workers, which evaluate a run once it is trained.",
    )
    both.metric("In all", scaled(in_all), help="Training and evaluations, without those at the selected λ alone.")
    stated = f"{price_text(cost.stated_minutes)} on {cost.hardware}, evaluations included"
    if scaled(in_all) == time_text(None):
        st.caption(f"The study states {stated}.")
        return
    selected = any(launch.of_selected for launch in cost.launches)
    without = "; it leaves out the evaluations at the selected λ alone" if selected else ""
    st.caption(f"This estimate is for this machine{without}. The study states {stated}.")


def _show_left_out(launches: list[StudyLaunchPreflight]) -> None:
    for launch in launches:
        if launch.left_out:
            st.warning(
                f"**{escaped(launch.label)}** would be left out: {escaped(as_sentence(launch.left_out))}"
                if not launch.runs
                else f"**{escaped(launch.label)}**, left out in part: {escaped(as_sentence(launch.left_out))}",
                icon=":material/cloud_off:",
            )
    if any(launch.prepare for launch in launches):
        st.page_link("app_pages/datasets.py", label="Prepare data sets", icon=":material/database:")
