"""The claims of a study with their answers, tests, and links to the runs that they rest on."""

from collections.abc import Mapping, Sequence

import streamlit as st

from densitylab.backend.shared.contracts.comparisons import Verdict
from densitylab.backend.shared.contracts.studies import StudyClaim, StudyReport
from densitylab.frontend.analysis.formatting import escaped, joined, readable, runs_text
from densitylab.frontend.analysis.study_text import column_label
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.comparison.claim_tests import show_claim_tests

_BADGES: Mapping[Verdict, str] = {
    "yes": ":green-badge[:material/check: yes]",
    "no": ":red-badge[:material/close: no]",
    "undecided": ":gray-badge[:material/question_mark: undecided]",
}


def show_claims(report: StudyReport) -> None:
    """Draw each claim with its answer for every launch."""
    if not report.claims:
        return
    st.header("Claims")
    labels = {column.result: column_label(column, catalog()) for table in report.tables for column in table.columns}
    for number, text in enumerate(dict.fromkeys(claim.text for claim in report.claims)):
        with st.container(border=True):
            st.markdown(f"**{escaped(text)}**")
            for claim in report.claims:
                if claim.text == text:
                    _show_answer(claim, labels, key=f"{number}-{claim.launch}")


def _show_answer(claim: StudyClaim, labels: Mapping[str, str], *, key: str) -> None:
    about, reason, links = st.columns([2.4, 5, 3.2], vertical_alignment="center")
    about.markdown(f"{_BADGES[claim.verdict]}  {escaped(claim.launch_label)}")
    with reason:
        st.markdown(escaped(claim.reason))
    with links, st.container(horizontal=True, gap="small"):
        for name, runs in (("first", claim.first), ("second", claim.second)):
            if runs:
                _compare_link(f"{name}: {runs_text(runs)}", runs)
        if claim.first and claim.second:
            _compare_link("compare", claim.first + claim.second, icon=":material/scatter_plot:")
    if claim.claim is not None:
        result = labels.get(claim.claim.result, readable(claim.claim.result))
        with st.expander("Tests", key=f"claim-tests-{key}"):
            show_claim_tests(claim.claim, result)


def _compare_link(label: str, runs: Sequence[int], icon: str | None = None) -> None:
    st.page_link("app_pages/compare.py", label=label, icon=icon, query_params={"runs": joined(runs)})
