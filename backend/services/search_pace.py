"""The time that a search may still take."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run


def seconds_left(members: Sequence[Run], max_runs: int) -> float | None:
    """Return the seconds for all runs that may still come or be trained, at the pace of those that have ended; None
    where none has.

    The pace is the time from the first start to the last end over the number of ended runs, so it contains as many runs
    at once as there were.
    """
    spans = [(run.started_at, run.finished_at) for run in members if run.started_at and run.finished_at]
    if not spans:
        return None
    span = max(end for _, end in spans) - min(start for start, _ in spans)
    return span.total_seconds() / len(spans) * max(0, max_runs - len(spans))
