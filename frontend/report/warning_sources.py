"""The warnings of an experiment, each with the runs that it is about."""

from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import repeated_text
from densitylab.frontend.analysis.comparison import left_out_text, results_in_several_columns
from densitylab.frontend.report.evidence import Evidence


def warning_sources(evidence: Evidence) -> dict[str, list[str]]:
    """Return the runs and evaluations of each warning and error."""
    sources: dict[str, list[str]] = {}
    for run in evidence.runs:
        for flag in run.flags:
            sources.setdefault(flag.text, []).append(f"run {run.id}")
        for item in evidence.evaluations[run.id]:
            for flag in item.flags:
                sources.setdefault(flag.text, []).append(f"{item.name} of run {run.id}")
            if item.status.final and item.error:
                sources.setdefault(f"Not evaluated: {item.error}", []).append(f"{item.name} of run {run.id}")
        if run.error:
            sources.setdefault(f"The run {run.status.value}: {run.error}", []).append(f"run {run.id}")
    for result in results_in_several_columns(evidence.comparison):
        sources[f"{result} was evaluated with different parameters or on different data; each has its own column."] = []
    columns = evidence.columns
    if text := conditions_text(differing_conditions(evidence.runs, columns)):
        sources[text] = []
    for text in (repeated_text(evidence.comparison.groups), left_out_text(evidence.comparison)):
        if text:
            sources[text] = []
    return sources
