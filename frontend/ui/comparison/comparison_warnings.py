"""The sentences on what limits a comparison: of its runs, its evaluations and their conditions."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Evaluation
from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import Column, repeated_text
from densitylab.frontend.analysis.comparison import Comparison, all_runs, results_in_several_columns, short_label
from densitylab.frontend.analysis.formatting import counted, run_flags, runs_text
from densitylab.frontend.ui.api import api, caller, catalog

MAX_RUNS = 60  # whose evaluations are read
FEW_OF_GROUP = "few_of_group"  # a warning of an evaluation that is about its worst group alone


@st.cache_data(show_spinner=False, max_entries=500)
def evaluations_of(caller: str, run_id: int, results: str) -> list[Evaluation]:
    """Return the run's evaluations; `caller` and `results` are the key of the cache."""
    return api().evaluations(run_id)


def comparison_warnings(comparison: Comparison, columns: Sequence[Column]) -> list[str]:
    """Return what limits these results of the comparison, in sentences, failed trainings first."""
    variants = [
        f"{result} was evaluated with different parameters or on different data. Each variant has its own column; they "
        "are not compared."
        for result in results_in_several_columns(comparison)
    ]
    conditions = conditions_text(differing_conditions(all_runs(comparison), columns))
    return [
        *run_warnings(comparison),
        *variants,
        *evaluation_warnings(comparison, columns),
        *filter(None, [conditions, repeated_text(comparison.groups)]),
    ]


def run_warnings(comparison: Comparison) -> list[str]:
    """Return which groups have runs whose training went wrong, in sentences."""
    labelled = [
        *zip(comparison.labels, comparison.groups, strict=True),
        *((f"{label} (left out)", group) for label, group in comparison.left_out),
    ]
    sentences = []
    for label, group in labelled:
        flagged: dict[str, list[int]] = {}
        for run in group.runs:
            for words in run_flags(run):
                flagged.setdefault(words, []).append(run.id)
        sentences += [
            f"{label}: {words} in {len(runs)} of {counted(len(group.runs), 'run')} ({runs_text(runs)})."
            for words, runs in flagged.items()
        ]
    return sentences


def evaluation_warnings(comparison: Comparison, columns: Sequence[Column]) -> list[str]:
    """Return the warnings of the evaluations that gave these results, such as that of few images."""
    labels: dict[tuple[str, str], str] = {}  # of the results, by evaluation and value
    for column in columns:
        name, _, value = column.result.partition(".")
        labels[name, value] = short_label(column, comparison, catalog())
    flagged: dict[str, tuple[dict[str, None], dict[int, None]]] = {}  # sentence -> results, runs
    for run in [run for run in all_runs(comparison) if run.results][:MAX_RUNS]:
        for item in evaluations_of(caller(), run.id, repr(run.results)):
            for flag in item.flags:
                for (name, value), label in labels.items():
                    if name == item.name and (flag.key != FEW_OF_GROUP or value.startswith("worst")):
                        results, runs = flagged.setdefault(flag.text, ({}, {}))
                        results[label] = runs[run.id] = None
    return [f"{'; '.join(results)}: {text} ({runs_text(list(runs))})" for text, (results, runs) in flagged.items()]
