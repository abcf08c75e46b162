"""Training curves."""

from typing import Annotated

from fastapi import Query, Response

from densitylab.backend.api.dependencies import DatabaseDep, Reading, RunIds
from densitylab.backend.api.errors import responses
from densitylab.backend.api.raw_json import page
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.services.runs import not_found
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import CURVE_NAME, MetricSeries
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import metrics, runs

router = resource_router("metrics")
Names = Annotated[
    list[Annotated[str, Query(pattern=CURVE_NAME, max_length=64)]] | None,
    Query(max_length=50, description="names of curves, the parameter repeated; default: all"),
]
Since = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only points after this step")]
MaxPoints = Annotated[
    int,
    Query(
        ge=2,
        le=100_000,
        description="points per curve, thinned evenly; `total` is the number that is stored. "
        "GET /curves.parquet has all points.",
    ),
]


class MetricPage(contracts.Page[MetricSeries]):
    """A page of training curves."""


@router.get("/runs/{run_id}/metrics", response_model=MetricPage, responses=responses(404, 422))
def get_run_metrics(
    run_id: RunId, database: DatabaseDep, names: Names = None, since: Since = None, max_points: MaxPoints = 10_000
) -> Response:
    """Return the curves of one run."""
    with database.read() as session:
        if not runs.exists(session, run_id):
            raise not_found(run_id)
        return page(metrics.read_json(session, [run_id], names, since=since, max_points=max_points))


@router.get("/metrics", response_model=MetricPage, responses=responses(404, 422))
def get_metrics(
    run: RunIds, session: Reading, names: Names = None, since: Since = None, max_points: MaxPoints = 1000
) -> Response:
    """Return the curves of several runs (repeat `run`)."""
    known = runs.existing(session, run)
    for position, run_id in enumerate(run):
        if run_id not in known:
            raise NotFound("run", run_id, f"/query/run/{position}")
    chosen = dict.fromkeys(run)
    return page(metrics.read_json(session, chosen, names, since=since, max_points=max_points))
