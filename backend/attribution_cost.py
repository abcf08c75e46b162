"""What maps would cost, before they are drawn."""

import math
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from backend import attributing, calibration
from backend.shared.catalog import Entry, find
from backend.shared.contracts import AttributionCost, AttributionRequest, Run
from backend.shared.store import attributions, runs

_GRADIENT = 2  # a forward and a backward pass
_RECENT = 50  # finished maps that are looked at
_ENOUGH = 200  # passes from which on the time of a request says something of the pace


def cost(session: Session, request: AttributionRequest) -> AttributionCost:
    """Passes, and seconds at the pace of the newest maps of the same model; at that of its size where there are none.

    Raises:
        InvalidRequest, UnknownRun, NotNow: see `attributing.check`.
    """
    checked = attributing.check(session, request)
    kept = attributions.kept(session, checked.content_hash) is not None
    needed = passes(checked.request, checked.runs[0])
    pace = _measured(session, {_network(run) for run in checked.runs})
    if pace is not None:
        return AttributionCost(kept=kept, passes=needed, seconds=needed * pace, basis="measured")
    paces = [_calibrated(run) for run in checked.runs]
    known = [pace for pace in paces if pace is not None]
    seconds = needed * sum(known) / len(known) if known else None
    return AttributionCost(kept=kept, passes=needed, seconds=seconds, basis="calibrated" if known else "unknown")


def passes(request: dict[str, Any], run: Run) -> int:
    """Passes of one image each through a network, of all the images under all the runs."""
    entry = find("attribution", request["method"])
    of_one = _GRADIENT * math.prod(request["params"][name] for name in entry.work)
    if entry.stride is not None:
        of_one = _places(request["params"][entry.stride], find("dataset", run.spec.dataset.key))
    perturbation = request.get("perturbation")
    if perturbation is not None:
        changed = find("perturbation", perturbation["key"])
        of_one += of_one + _GRADIENT * math.prod(perturbation["params"][name] for name in changed.work)
    return of_one * len(request["runs"]) * len(request["samples"]["indices"])


def _places(stride: int, dataset: Entry) -> int:
    return math.prod(math.ceil(side / stride) for side in dataset.image_size or (1, 1))


def _network(run: Run) -> tuple[str, str]:
    return run.spec.model.key, run.spec.dataset.key


def _measured(session: Session, networks: set[tuple[str, str]]) -> float | None:
    """Median seconds a pass of maps that were drawn of these models alone; None where none were."""
    drawn = attributions.drawn(session, _RECENT)
    members = runs.many(session, sorted({run_id for request, _ in drawn for run_id in request["runs"]}))
    paces = []
    for request, seconds in drawn:
        known = [members[run_id] for run_id in request["runs"] if run_id in members]
        if len(known) == len(request["runs"]) and {_network(run) for run in known} <= networks:
            needed = passes(request, known[0])
            if needed >= _ENOUGH:
                paces.append(seconds / needed)
    return median(paces) if paces else None


def _calibrated(run: Run) -> float | None:
    """Seconds a pass of one image on one core, by the network's size."""
    dataset = find("dataset", run.spec.dataset.key)
    height, width = dataset.image_size or (0, 0)
    shape = (dataset.channels or 1, height, width)
    network = calibration.network(run.spec.model.key, run.spec.model.params, shape, dataset.num_classes or 1)
    return None if network is None else network.multiplications / calibration.MULTIPLICATIONS_PER_SECOND
