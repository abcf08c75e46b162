"""The time left of several experiments on the same workers."""

from collections.abc import Iterable
from operator import mul

from densitylab.backend.shared.contracts import Experiment


def seconds_together(experiments: Iterable[Experiment]) -> float | None:
    """Return the seconds until the known work of these experiments is done; None where none is known.

    Their work, in seconds of one worker, is shared by all workers that are at one of them, at least by as many as one
    of them counts on. An experiment that has workers of its own ends no sooner than by these.
    """
    unfinished = [item for item in experiments if not item.finished]
    known = [item for item in unfinished if item.eta_seconds is not None]
    if not known:
        return None
    names = {name for item in unfinished for name in item.workers}
    counted = [max(item.eta_workers, len(item.workers)) for item in known]
    seconds = [item.eta_seconds or 0.0 for item in known]
    work = sum(map(mul, seconds, counted))
    own = [left for item, left in zip(known, seconds, strict=True) if item.workers]
    return max(work / max(len(names), *counted), *own, 0.0)
