"""The sentences on what limits a comparison: of its runs, its evaluations and their conditions."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Evaluation
from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import Column, repeated_text
from densitylab.frontend.analysis.comparison import Comparison, all_runs, results_in_several_columns, short_label
from densitylab.frontend.analysis.formatting import run_flags, runs_text
from densitylab.frontend.ui.api import api, caller, catalog

MAX_RUNS = 60  # whose evaluations are read


@st.cache_data(show_spinner=False, max_entries=500)
def evaluations_of(caller: str, run_id: int, results: str) -> list[Evaluation]:
    """Return the run's evaluations; `caller` and `results` are the key of the cache."""
    return api().evaluations(run_id)


def comparison_warnings(comparison: Comparison, columns: Sequence[Column]) -> list[str]:
    """Return what limits these results of the comparison, in sentences."""
    sentences = [
        f"{result} was evaluated with different parameters or on different data. Each variant has its own column; they "
        "are not compared."
        for result in results_in_several_columns(comparison)
    ]
    flagged: dict[str, list[int]] = {}
    for run in all_runs(comparison):
        for words in run_flags(run):
            flagged.setdefault(words, []).append(run.id)
    sentences += [f"{words}: {runs_text(runs)}." for words, runs in flagged.items()]
    sentences += evaluation_warnings(comparison, columns)
    conditions = conditions_text(differing_conditions(all_runs(comparison), columns))
    return sentences + list(filter(None, [conditions, repeated_text(comparison.groups)]))


def evaluation_warnings(comparison: Comparison, columns: Sequence[Column]) -> list[str]:
    """Return the warnings of the evaluations that gave these results, such as that of few images."""
    labels: dict[str, list[str]] = {}  # of the results, by evaluation
    for column in columns:
        labels.setdefault(column.result.partition(".")[0], []).append(short_label(column, comparison, catalog()))
    flagged: dict[tuple[str, str], list[int]] = {}
    for run in [run for run in all_runs(comparison) if run.results][:MAX_RUNS]:
        for item in evaluations_of(caller(), run.id, repr(run.results)):
            for flag in item.flags if item.name in labels else ():
                flagged.setdefault((item.name, flag.text), []).append(run.id)
    return [f"{'; '.join(labels[name])}: {text} ({runs_text(runs)})" for (name, text), runs in flagged.items()]
