"""Choose the results, groups and baseline of a comparison that are shown; the page's link has them."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.comparison import Comparison, short_label
from densitylab.frontend.ui.api import catalog

OWN_BASELINE = "automatic: the same spec without penalty"


@dataclass(frozen=True)
class Options:
    """The parts of a comparison that the page and its report show."""

    results: tuple[str, ...]  # empty: the headline results
    runs: frozenset[int] | None  # of the chosen groups; None: all
    baseline: int | None  # a run of the group that all others are compared with; None: each group has its own

    def shown(self, runs: Sequence[Run]) -> list[Run]:
        """Return those of the chosen groups."""
        return [run for run in runs if self.runs is None or run.id in self.runs]


def show_options(comparison: Comparison) -> Options:
    """Let the user choose results, groups and a baseline in a popover."""
    labels: dict[str, str] = {}  # of a result with several variants all of theirs
    for column in comparison.columns:
        label = short_label(column, comparison, catalog())
        labels[column.result] = f"{labels[column.result]} · {label}" if column.result in labels else label
    by_old_link = {name.replace("_", " ").replace(".", ": "): name for name in labels}
    if linked := [by_old_link[text] for text in st.query_params.get_all("results") if text in by_old_link]:
        st.session_state["results"] = linked
    with st.popover("Choose results and groups", icon=":material/tune:"):
        left, right = st.columns([3, 2])
        results = left.multiselect(
            "Results",
            list(labels),
            key="results",
            bind="query-params",
            placeholder="headline results",
            format_func=lambda name: labels.get(name, name),
        )
        by_label = dict(zip(comparison.labels, comparison.groups, strict=True))
        baseline = right.selectbox("Baseline", [OWN_BASELINE, *by_label], key="baseline", bind="query-params")
        groups = st.multiselect(
            "Groups", list(by_label), key="only", bind="query-params", placeholder="all groups", wrap=True
        )
        with st.container(horizontal=True):
            st.toggle("Differences from the baseline", value=True, key="deltas", bind="query-params")
            st.toggle("Settings shared by all groups", key="identical", bind="query-params")
    chosen = frozenset(run.id for group in groups for run in by_label[group].runs) if groups else None
    return Options(tuple(results), chosen, by_label[baseline].runs[0].id if baseline in by_label else None)
