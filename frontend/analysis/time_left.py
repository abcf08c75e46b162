"""The time left of experiments, in words."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Experiment
from densitylab.backend.shared.statistics.shared_workers import seconds_together
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.client.durations import duration


def time_left(experiments: Sequence[Experiment]) -> str:
    """Return the time until all of them are trained and evaluated, or of the part that is known; "" where they have
    ended."""
    unfinished = [item for item in experiments if not item.finished]
    if not unfinished:
        return ""
    seconds = seconds_together(unfinished)
    if seconds is None:
        return "time left not known yet"
    if any(item.eta_seconds is None for item in unfinished):
        return f"at least {duration(seconds)} left"
    untimed = sum(item.untimed_evaluations for item in unfinished)
    rest = f" and {counted(untimed, 'evaluation')} of unknown time" if untimed else ""
    return f"about {duration(seconds)} left{rest}"
