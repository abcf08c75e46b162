"""The time left of several experiments on the same workers."""

from collections.abc import Iterable

from densitylab.backend.shared.contracts import Experiment


def seconds_together(experiments: Iterable[Experiment]) -> float | None:
    """Return the seconds until the known work of these experiments is done; None where none is known.

    Their work, in seconds of one worker, is shared by all workers that are at one of them. An experiment that has
    workers of its own ends no sooner than by these.
    """
    unfinished = [item for item in experiments if not item.finished]
    known = [(item.eta_seconds, len(item.workers)) for item in unfinished if item.eta_seconds is not None]
    if not known:
        return None
    workers = {name for item in unfinished for name in item.workers}
    work = sum(seconds * max(1, own) for seconds, own in known)
    return max(work / max(1, len(workers)), *(seconds for seconds, own in known if own), 0.0)
