"""Estimated cost of maps before they are computed."""

from contextlib import suppress
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.services.attributions import check
from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import (
    Catalog,
    UnknownKey,
)
from densitylab.backend.shared.contracts import AttributionCost, AttributionRequest, Run
from densitylab.backend.shared.store import attributions, runs

_RECENT = 50  # finished maps that are used
_ENOUGH = 200  # passes below which the time of a request is mostly overhead


def cost(session: Session, catalog: Catalog, request: AttributionRequest) -> AttributionCost:
    """Return the passes, and the seconds at the speed of recent maps of the same model, or estimated by its size.

    Raises:
        InvalidRequest, NotFound, RunNotReady: see `attributions.check`.
    """
    checked = check(session, catalog, request)
    kept = attributions.reusable(session, checked.content_hash) is not None
    needed = passes(catalog, checked.request, checked.runs[0])
    pace = _measured(session, catalog, {_network(run) for run in checked.runs})
    if pace is not None:
        return AttributionCost(kept=kept, passes=needed, seconds=needed * pace, basis="measured")
    paces = [_calibrated(catalog, run) for run in checked.runs]
    known = [pace for pace in paces if pace is not None]
    seconds = needed * sum(known) / len(known) if known else None
    return AttributionCost(kept=kept, passes=needed, seconds=seconds, basis="calibrated" if known else "unknown")


def passes(catalog: Catalog, request: dict[str, Any], run: Run) -> int:
    """Return the number of network passes of one image, for all images and runs."""
    dataset = catalog.dataset(run.spec.dataset.key, run.spec.dataset.params)
    of_one = cost_model.map_passes(catalog, request["method"], request["params"], dataset)
    perturbation = request.get("perturbation")
    if perturbation is not None:
        of_one += of_one + cost_model.perturbation_passes(catalog, perturbation["key"], perturbation["params"])
    return round(of_one * len(request["runs"]) * len(request["samples"]["indices"]))


def _network(run: Run) -> tuple[str, str]:
    return run.spec.model.key, run.spec.dataset.key


def _measured(session: Session, catalog: Catalog, networks: set[tuple[str, str]]) -> float | None:
    """Return the median seconds per pass of finished maps of these networks alone; None if there are none."""
    finished = attributions.finished(session, _RECENT)
    members = runs.many(session, sorted({run_id for request, _ in finished for run_id in request["runs"]}))
    paces = []
    for request, seconds in finished:
        known = [members[run_id] for run_id in request["runs"] if run_id in members]
        if len(known) == len(request["runs"]) and {_network(run) for run in known} <= networks:
            with suppress(LookupError):  # maps of a plug-in that is gone, or of other parameters than it has now
                needed = passes(catalog, request, known[0])
                if needed >= _ENOUGH:
                    paces.append(seconds / needed)
    return median(paces) if paces else None


def _calibrated(catalog: Catalog, run: Run) -> float | None:
    """Return the estimated seconds per pass of one image, by the network's size and its threads."""
    try:
        network = specs.network_of(catalog, run.spec)
    except UnknownKey:
        return None  # of a plug-in that is gone
    if network is None:
        return None
    return cost_model.pass_seconds(network, specs.cpu_threads(catalog, run.spec))
