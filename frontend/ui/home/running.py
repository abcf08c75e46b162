"""Running experiments with progress and time left, and the running evaluations while nothing trains."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Evaluation, Experiment, Run, Status
from densitylab.frontend.analysis.formatting import counted, escaped, run_name
from densitylab.frontend.client.evaluation_progress import evaluations_done
from densitylab.frontend.ui.api import api, catalog
from densitylab.frontend.ui.status import counts_text, progress_text

_UNFINISHED = (Status.QUEUED, Status.RUNNING)
_SHOWN, _RUNS = 4, 200


def is_active(experiment: Experiment) -> bool:
    """Return whether a training or an evaluation of the experiment is unfinished."""
    counts = (experiment.counts, experiment.evaluation_counts)
    return not experiment.finished and any(each.get(status) for each in counts for status in _UNFINISHED)


def show_running(experiments: Sequence[Experiment]) -> None:
    """Draw the experiments that are at work; nothing if there are none."""
    active = [item for item in experiments if is_active(item)]
    if not active:
        return
    st.header("Now")
    active.sort(key=lambda item: not item.counts.get(Status.RUNNING))
    for experiment in active[:_SHOWN]:
        _show_experiment(experiment)
    if len(active) > _SHOWN:
        st.caption(f"{counted(len(active) - _SHOWN, 'more experiment')} at work or queued.")


def _show_experiment(experiment: Experiment) -> None:
    with st.container(border=True):
        name, state = st.columns([4, 6], vertical_alignment="center")
        query = {"experiment": str(experiment.id)}
        with name:
            st.page_link("app_pages/experiment.py", label=f"**{escaped(experiment.name)}**", query_params=query)
            st.markdown(counts_text(experiment.counts))
        with state:
            text = progress_text(experiment)
            if any(experiment.counts.get(status) for status in _UNFINISHED):
                st.progress(experiment.progress, text=text)
                for run in api().runs(experiment=experiment.id, status=Status.RUNNING, limit=2).items:
                    st.caption(f"{escaped(run_name(run, catalog()))}: {escaped(run.stage)}, {run.progress:.0%}")
            else:
                done, total = evaluations_done(experiment.evaluation_counts)
                st.progress(done / total, text=text)
                if current := _evaluation_at_work(experiment.id):
                    run, item = current
                    label = catalog().label("evaluation", item.key)
                    st.caption(f"Evaluating {escaped(label)} of run {run.id}: {item.progress:.0%}")


def _evaluation_at_work(experiment: int) -> tuple[Run, Evaluation] | None:
    """Return the evaluation that a worker runs for the experiment; None while all of them wait."""
    for run in api().runs(experiment=experiment, limit=_RUNS).items:
        if run.evaluation_counts.get(Status.RUNNING):
            for item in api().evaluations(run.id):
                if item.status is Status.RUNNING:
                    return run, item
    return None
