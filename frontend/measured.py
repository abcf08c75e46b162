"""The comparing page's part on curves of evaluations: one at a time, over all runs."""

from collections.abc import Callable, Sequence

import streamlit as st

from backend.shared.contracts import Evaluation, Run
from frontend.comparison import Comparison
from frontend.exports import chart
from frontend.measured_curves import measured_charts, opened
from frontend.parts import api, catalog
from frontend.result_charts import curve_table, described, draw
from frontend.words import escaped, joined

MAX_RUNS = 60


@st.cache_data(show_spinner=False, max_entries=500)
def evaluations_of(run_id: int, results: str) -> list[Evaluation]:
    """What was measured of a run; asked for again when its `results` change."""
    return api().evaluations(run_id)


def show_measured(
    found: Comparison, runs: Sequence[Run], opens: Callable[[int, str | None], None]
) -> None:
    """A chosen curve of every group, its mean over seeds with a band; a click opens the images behind the point."""
    shown = [run for run in runs if run.results][:MAX_RUNS]
    evaluations = {run.id: evaluations_of(run.id, repr(run.results)) for run in shown}
    charts = {item.label: item for item in measured_charts(found, evaluations, catalog())}
    if not charts:
        return
    st.subheader("Measured curves")
    wanted = st.selectbox("Curve", list(charts), key="measured", bind="query-params")
    chosen = charts[wanted]
    chart(draw(chosen.plot, chosen.traces), curve_table(chosen.traces), key="measured-curve",
          label=described(chosen.label, chosen.traces), height=420, opens=lambda click: opens(*opened(str(click))),
          linked=False)
    st.caption("Lines are means over seeds with their 95 % Student-t intervals, or with one seed that run's own over "
               "its test images; where the runs of a group have points of their own, each is drawn. A click opens a "
               "run with the test images behind the point.")
    for text, ids in chosen.flags.items():
        st.warning(f"{escaped(text)} (run {joined(ids)})", icon=":material/warning:")
