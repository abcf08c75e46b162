"""Curves."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from backend.api.dependencies import DatabaseDep, Reading, RunIds
from backend.api.pages import page
from backend.api.problems import not_found, responses
from backend.api.routes.runs import RunId, missing
from backend.shared import contracts
from backend.shared.contracts import MetricSeries
from backend.shared.store import metrics, runs

router = APIRouter(tags=["metrics"])
Names = Annotated[
    list[Annotated[str, Query(pattern=r"^[A-Za-z0-9_]+$", max_length=64)]] | None,
    Query(max_length=50, description="curves to give, the parameter repeated; all unless given"),
]
Since = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only points after this step")]
MaxPoints = Annotated[int | None, Query(ge=2, le=100_000, description="points of each curve, thinned evenly")]


class MetricPage(contracts.Page):
    items: list[MetricSeries]


@router.get("/runs/{run_id}/metrics", response_model=MetricPage, responses=responses(404, 422))
def get_run_metrics(
    run_id: RunId, database: DatabaseDep, names: Names = None, since: Since = None, max_points: MaxPoints = None
) -> Response:
    """The curves of one run."""
    with database.read() as session:
        if not runs.exists(session, run_id):
            raise missing(run_id)
        return page(metrics.read_json(session, [run_id], names, since=since, max_points=max_points))


@router.get("/metrics", response_model=MetricPage, responses=responses(404, 422))
def get_metrics(
    run: RunIds, session: Reading, names: Names = None, since: Since = None, max_points: MaxPoints = 1000
) -> Response:
    """The curves of several runs, the parameter `run` repeated."""
    known = runs.many(session, run)
    for position, run_id in enumerate(run):
        if run_id not in known:
            raise not_found("run", run_id, f"/query/run/{position}")
    chosen = dict.fromkeys(run)
    return page(metrics.read_json(session, chosen, names, since=since, max_points=max_points))
