"""The runs and the results of an experiment, cached until one of its counts changes."""

import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Run, Status
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.result_ranges import result_ranges
from densitylab.frontend.ui.api import api, caller, catalog

MAX_RUNS = 100  # of larger experiments the Compare page shows the results


def evaluated(experiment: Experiment) -> bool:
    """Return whether the experiment has results and is small enough to show them in a list."""
    return bool(experiment.evaluation_counts.get(Status.SUCCEEDED)) and len(experiment.runs) <= MAX_RUNS


def cached_runs(experiment: Experiment) -> list[Run]:
    """Return the runs of the experiment."""
    return _runs(caller(), experiment.id, _state(experiment))


def result_line(experiment: Experiment) -> str:
    """Return the headline results in a line; "" where there are none."""
    return _result_line(caller(), experiment.id, _state(experiment)) if evaluated(experiment) else ""


def _state(experiment: Experiment) -> str:
    return repr((experiment.runs, experiment.counts, experiment.evaluation_counts))


@st.cache_data(max_entries=20, show_spinner=False)
def _runs(caller: str, experiment: int, state: str) -> list[Run]:
    return api().runs_of(experiment)


@st.cache_data(max_entries=500, show_spinner=False)
def _result_line(caller: str, experiment: int, state: str) -> str:
    return result_ranges(compare(api().runs_of(experiment), catalog()), catalog())
