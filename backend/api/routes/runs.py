"""Runs: one trained model each."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from backend import deletion
from backend.api import cursors, pages, run_table
from backend.api.dependencies import Cursor, DatabaseDep, Limit, QueueDep, Search, StoreDep
from backend.api.problems import conflict, not_found, responses
from backend.delivery import deliver_or_leave
from backend.shared import contracts
from backend.shared.contracts import Deleted, Run, RunPatch, Status
from backend.shared.store import run_listing, runs, tasks

router = APIRouter(prefix="/runs", tags=["runs"])
RunId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Key = Annotated[str | None, Query(pattern=r"^[a-z0-9_]+$", max_length=64)]
Sort = Annotated[
    str,
    Query(
        pattern=r"^-?(id|created_at|status|progress|lambda_|(results|metrics)\.[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)$",
        max_length=150,
        description="id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; with - descending. "
                    "Runs without a value come last.",
    ),
]


class RunPage(contracts.Page):
    items: list[Run]


@router.get(
    "", response_model=RunPage,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **responses(422)},
)
def list_runs(
    database: DatabaseDep,
    experiment: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    status: Status | None = None,
    dataset: Key = None,
    model: Key = None,
    regularizer: Key = None,
    tag: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=50)] = None,
    q: Search = None,
    archived: Annotated[bool | None, Query(description="default: those that are not")] = False,
    sort: Sort = "-id",
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Annotated[Literal["json", "csv"], Query(description="csv: every run that matches, in one table")] = "json",
) -> Response:
    """Runs that match every filter, newest first unless sorted otherwise."""
    which = run_listing.Filter(
        experiment=experiment, status=status, dataset=dataset, model=model, regularizer=regularizer, tag=tag,
        query=q, archived=archived,
    )
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    after = None if cursor is None else cursors.decode(cursor, sort)
    with database.read() as session:
        if format == "csv":
            every = run_listing.places(session, which, sort=key, descending=descending, after=after)
            return Response(
                run_table.table(session, [place.id for place in every]), media_type="text/csv",
                headers={"Content-Disposition": 'attachment; filename="runs.csv"'},
            )
        found = run_listing.places(session, which, sort=key, descending=descending, after=after, limit=limit + 1)
        more = cursors.encode(sort, found[limit - 1].key, found[limit - 1].id) if len(found) > limit else None
        return pages.page(run_listing.read_json(session, [place.id for place in found[:limit]]), more)


@router.get("/{run_id}", response_model=Run, responses=responses(404, 422))
def get_run(run_id: RunId, database: DatabaseDep) -> Response:
    with database.read() as session:
        return _answer(session, run_id)


@router.patch("/{run_id}", response_model=Run, responses=responses(400, 404, 413, 422))
def change_run(run_id: RunId, body: RunPatch, database: DatabaseDep) -> Response:
    """Changes the fields that are given; null leaves a field as it is."""
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    with database.write() as session:
        runs.patch(session, run_id, changes)
        session.flush()
        return _answer(session, run_id)


@router.delete("/{run_id}", responses=responses(404, 409, 422))
def delete_run(run_id: RunId, database: DatabaseDep, store: StoreDep) -> Deleted:
    """Deletes the run with its files; says how many bytes that freed. 409 while it is at work."""
    try:
        return Deleted(bytes=deletion.delete_run(database, store, run_id))
    except deletion.Gone:
        raise missing(run_id) from None
    except deletion.StillActive as active:
        raise conflict(str(active)) from None


@router.post("/{run_id}/cancel", status_code=202, responses=responses(404, 422))
def cancel_run(run_id: RunId, database: DatabaseDep) -> Run:
    """Ends what is queued and asks what is running to stop: the training, or the evaluations after it. The
    checkpoint is kept. A run that has ended stays as it is."""
    with database.write() as session:
        if not runs.exists(session, run_id):
            raise missing(run_id)
        for task_id in tasks.active_of_run(session, run_id):
            tasks.request_cancel(session, task_id)
        session.expire_all()
        return found(runs.get(session, run_id), run_id)


@router.post("/{run_id}/retry", status_code=202, responses=responses(404, 409, 422))
def retry_run(run_id: RunId, database: DatabaseDep, queue: QueueDep) -> Run:
    """Queues again what failed or was cancelled: the training, which goes on from its checkpoint, or the
    evaluations of a trained run."""
    with database.write() as session:
        if not runs.lock(session, run_id):
            raise missing(run_id)
        ended = tasks.unsuccessful_of_run(session, run_id)
        if not ended:
            raise conflict(f"run {run_id} has nothing to retry: nothing of it failed or was cancelled")
        for task_id in ended:
            tasks.retry(session, task_id)
    deliver_or_leave(database, queue)
    with database.read() as session:
        return found(runs.get(session, run_id), run_id)


def _answer(session: Session, run_id: int) -> Response:
    answer = run_listing.written(session, [run_id]).get(run_id)
    if answer is None:
        raise missing(run_id)
    return pages.written(answer)


def found(run: Run | None, run_id: int) -> Run:
    """The run. Raises the 404 where there is none."""
    if run is None:
        raise missing(run_id)
    return run


def missing(run_id: int) -> Exception:
    return not_found("run", run_id, "/path/run_id")
