"""The time left of experiments, in words."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Experiment
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.client.durations import duration


def time_left(experiments: Sequence[Experiment]) -> str:
    """Return the time until all of them are trained and evaluated, one after the other; "" where they have ended."""
    unfinished = [item for item in experiments if not item.finished]
    if not unfinished:
        return ""
    seconds = [item.eta_seconds for item in unfinished]
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        return "time left not known yet"
    untimed = sum(item.untimed_evaluations for item in unfinished)
    rest = f" and {counted(untimed, 'evaluation')} of unknown time" if untimed else ""
    return f"about {duration(sum(known))} left{rest}"
