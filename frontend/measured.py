"""The comparing page's part on curves and spreads of evaluations: one at a time, over all runs."""

from collections.abc import Callable, Sequence

import streamlit as st

from backend.shared.contracts import Evaluation, Run
from frontend.comparison import Comparison
from frontend.exports import chart
from frontend.kept_arrays import per_image
from frontend.measured_curves import MeasuredChart, measured_charts, opened
from frontend.measured_spreads import MAX_VIOLINS, draw_spreads, measured_spreads, spreads
from frontend.parts import api, catalog
from frontend.result_charts import curve_table, described, draw, spread_table
from frontend.words import escaped, joined

MAX_RUNS = 60


@st.cache_data(show_spinner=False, max_entries=500)
def evaluations_of(run_id: int, results: str) -> list[Evaluation]:
    """What was measured of a run; asked for again when its `results` change."""
    return api().evaluations(run_id)


def show_measured(
    found: Comparison, runs: Sequence[Run], opens: Callable[[int, str | None], None]
) -> None:
    """A chosen curve of every group, its mean over seeds with a band, or violins of single images, whose arrays are
    fetched only then; a click opens the images behind the point."""
    shown = [run for run in runs if run.results][:MAX_RUNS]
    evaluations = {run.id: evaluations_of(run.id, repr(run.results)) for run in shown}
    curves = {item.label: item for item in measured_charts(found, evaluations, catalog())}
    violins = {item.label: item for item in measured_spreads(found, evaluations, catalog())}
    if not curves and not violins:
        return
    st.subheader("Curves and spreads of measures")
    wanted = st.selectbox("Measure", [*curves, *violins], key="measured", bind="query-params")

    def open_point(click: object) -> None:
        opens(*opened(str(click)))

    chosen = curves.get(wanted) or violins[wanted]
    if isinstance(chosen, MeasuredChart):
        chart(draw(chosen.plot, chosen.traces), curve_table(chosen.traces), key="measured-curve",
              label=described(chosen.label, chosen.traces), height=420, opens=open_point, linked=False)
        st.caption("Lines are means over seeds with their 95 % Student-t intervals, or with one seed that run's own "
                   "over its test images; where the runs of a group have points of their own, each is drawn. A click "
                   "opens a run with the test images behind the point.")
    else:
        shown_spreads = spreads(chosen, found, per_image)
        chart(draw_spreads(chosen, shown_spreads), spread_table(shown_spreads), key="measured-spread",
              label=f"{chosen.label}, single test images of {len(shown_spreads)} runs", height=420, opens=open_point,
              linked=False)
        left_out = len(chosen.members) - len(shown_spreads)
        st.caption("A violin per run, each dot a test image; a click opens the run with the images at its worse end."
                   + (f" Not drawn: {left_out} runs, which are more than {MAX_VIOLINS} or kept no values of single "
                      "images." if left_out else ""))
    for text, ids in chosen.flags.items():
        st.warning(f"{escaped(text)} (run {joined(ids)})", icon=":material/warning:")
