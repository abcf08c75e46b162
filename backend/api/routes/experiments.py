"""Runs launched together."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from backend import adding, deletion, launching, preflight
from backend.api import cursors, pages
from backend.api.dependencies import (
    Cursor,
    DatabaseDep,
    Limit,
    Provenance,
    QueueDep,
    RegisteredKnown,
    Search,
    StoreDep,
)
from backend.api.problems import conflict, not_found, responses
from backend.delivery import deliver_or_leave
from backend.shared import contracts
from backend.shared.contracts import (
    AddedRuns,
    Deleted,
    Experiment,
    ExperimentPatch,
    ExperimentRequest,
    Preflight,
    RunsRequest,
)
from backend.shared.store import experiments
from backend.shared.store.idempotency import KeyReused

router = APIRouter(prefix="/experiments", tags=["experiments"])
ExperimentId = Annotated[int, Path(ge=1, le=2**31 - 1)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", pattern=r"^[!-~]+$", min_length=1, max_length=200,
           description="the same key and body within a day: the first answer again; another body: 409"),
]
_SORT = "-id"


class ExperimentPage(contracts.Page):
    items: list[Experiment]


@router.post(
    "", status_code=202, response_model=Experiment,
    responses={200: {"model": Preflight, "description": "What the launch would cost"},
               **responses(400, 409, 413, 422)},
)
def launch_experiment(
    body: ExperimentRequest, request: Request, response: Response, database: DatabaseDep, queue: QueueDep,
    provenance: Provenance, idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="only say what it would cost; nothing is stored")] = False,
) -> Experiment | Response:
    """Queues one run, or one for every point of the sweep. With the broker down they wait in the database."""
    if dry_run:
        with database.read() as session:
            told = preflight.check(session, queue, request.app.state.settings, body)
        return pages.written(told.model_dump_json())
    try:
        experiment_id = launching.launch(database, body, provenance, idempotency_key)
    except launching.NotPrepared as missing:
        raise _not_prepared(missing) from None
    except KeyReused as reused:
        raise conflict(str(reused), "/header/Idempotency-Key") from None
    deliver_or_leave(database, queue)
    with database.read() as session:
        answer = experiments.get(session, experiment_id)
    if answer is None:
        raise conflict(f"experiment {experiment_id}, which this Idempotency-Key launched, is being deleted")
    response.headers["Location"] = f"/api/v1/experiments/{experiment_id}"
    return answer


@router.post(
    "/{experiment_id}/runs", status_code=202, dependencies=[RegisteredKnown],
    responses=responses(400, 404, 409, 413, 422),
)
def add_runs(
    experiment_id: ExperimentId, body: RunsRequest, response: Response, database: DatabaseDep, queue: QueueDep,
    provenance: Provenance,
) -> AddedRuns:
    """Queues more runs in the experiment. Specs that it has already are refused with 409, or skipped if asked."""
    try:
        done = adding.add(database, experiment_id, body, provenance)
    except adding.Gone:
        raise _missing(experiment_id) from None
    except adding.Duplicates as duplicates:
        raise conflict(str(duplicates)) from None
    except launching.NotPrepared as missing:
        raise _not_prepared(missing) from None
    deliver_or_leave(database, queue)
    with database.read() as session:
        answer = experiments.get(session, experiment_id)
    if answer is None:
        raise _missing(experiment_id)
    response.headers["Location"] = f"/api/v1/experiments/{experiment_id}"
    return AddedRuns(experiment=answer, added=done.added, skipped=done.skipped)


@router.get("", response_model=ExperimentPage, responses=responses(422))
def list_experiments(
    database: DatabaseDep, limit: Limit = 50, cursor: Cursor = None, q: Search = None,
    archived: Annotated[bool | None, Query(description="default: those that are not")] = False,
) -> Response:
    """Newest first."""
    before = None if cursor is None else cursors.decode(cursor, _SORT)[1]
    with database.read() as session:
        found = experiments.listing(session, before=before, limit=limit + 1, archived=archived, query=q)
    items = found[:limit]
    more = cursors.encode(_SORT, items[-1].id, items[-1].id) if len(found) > limit else None
    return pages.written(ExperimentPage(items=items, next_cursor=more).model_dump_json())


@router.get("/{experiment_id}", response_model=Experiment, responses=responses(404, 422))
def get_experiment(experiment_id: ExperimentId, database: DatabaseDep) -> Response:
    with database.read() as session:
        answer = experiments.get(session, experiment_id)
    if answer is None:
        raise _missing(experiment_id)
    return pages.written(answer.model_dump_json())


@router.patch("/{experiment_id}", responses=responses(400, 404, 413, 422))
def change_experiment(experiment_id: ExperimentId, body: ExperimentPatch, database: DatabaseDep) -> Experiment:
    """Changes the fields that are given; null leaves a field as it is."""
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    with database.write() as session:
        experiments.patch(session, experiment_id, changes)
        answer = experiments.get(session, experiment_id)
        if answer is None:
            raise _missing(experiment_id)
    return answer


@router.delete("/{experiment_id}", responses=responses(404, 409, 422))
def delete_experiment(experiment_id: ExperimentId, database: DatabaseDep, store: StoreDep) -> Deleted:
    """Deletes it with its runs and their files; says how many bytes that freed. 409 while a run is at work."""
    try:
        return Deleted(bytes=deletion.delete_experiment(database, store, experiment_id))
    except deletion.Gone:
        raise _missing(experiment_id) from None
    except deletion.StillActive as active:
        raise conflict(str(active)) from None


def _missing(experiment_id: int) -> Exception:
    return not_found("experiment", experiment_id, "/path/experiment_id")


def _not_prepared(missing: launching.NotPrepared) -> Exception:
    link = f'</api/v1/datasets/{missing.key}/prepare>; rel="prepare"'
    return conflict(str(missing), "/spec/dataset/key", {"Link": link})
