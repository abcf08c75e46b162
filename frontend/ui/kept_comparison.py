"""Comparisons that are made once for the same runs: a page that is drawn again, or another page of the same runs, uses
the groups, labels, colours and tests of before."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.api import catalog

_Subject = tuple[Sequence[Run], Catalog]


def kept_comparison(runs: Sequence[Run], *, baseline: int | None = None, leave_out: bool = False) -> Comparison:
    """Return `compare(runs, catalog(), …)` with these arguments. Runs are the same if they are the same objects, as
    those of a listing that has not changed are."""
    known = catalog()
    comparison, _ = _kept(" ".join(str(id(item)) for item in (known, *runs)), baseline, leave_out, (runs, known))
    return comparison


# What was compared is kept with the result, so that no other object has its id meanwhile
@st.cache_resource(max_entries=4, show_spinner=False)
def _kept(ids: str, baseline: int | None, leave_out: bool, _subject: _Subject) -> tuple[Comparison, _Subject]:
    runs, known = _subject
    return compare(runs, known, baseline=baseline, leave_out=leave_out), _subject
