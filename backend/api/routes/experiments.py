"""Experiments: groups of runs launched together."""

from typing import Annotated, Any

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from densitylab.backend.api import cursors, raw_json
from densitylab.backend.api.dependencies import (
    CatalogDep,
    Cursor,
    DatabaseDep,
    Limit,
    OwnerNames,
    Provenance,
    QueueDep,
    Reading,
    Search,
    SettingsDep,
    StoreDep,
)
from densitylab.backend.api.errors import responses
from densitylab.backend.api.etags import IfMatch, require_match
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services import deletion, searches
from densitylab.backend.services.add_runs import add_runs as add_runs_to_experiment
from densitylab.backend.services.add_runs import price_of_runs
from densitylab.backend.services.estimates import preflight
from densitylab.backend.services.experiments import launch
from densitylab.backend.services.idempotency import DeletedSince
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import (
    AddedRuns,
    Deleted,
    Experiment,
    ExperimentPatch,
    ExperimentRequest,
    Preflight,
    RunsPreflight,
    RunsRequest,
    SearchProgress,
)
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import experiments

router = resource_router("experiments", "/experiments")
ExperimentId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the experiment")]
_SORT = "-id"


class ExperimentPage(contracts.Page[Experiment]):
    """A page of experiments."""


@router.post(
    "",
    status_code=202,
    response_model=Experiment,
    responses=responses(400, 409, 413, 422, 501),
)
def launch_experiment(
    body: ExperimentRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    settings: SettingsDep,
    provenance: Provenance,
    key: IdempotencyKey,
    # Deprecated: POST /experiments/preflight
    dry_run: Annotated[bool, Query(include_in_schema=False)] = False,
) -> Experiment | Response:
    """Queue one run, or one for every point of the sweep. While the broker is down they wait in the database."""
    if dry_run:
        return preflight_experiment(body, database, catalog, queue, settings)
    experiment_id = launch(database, catalog, queue, settings, body, provenance, key)
    try_deliver(database, queue)
    with database.read() as session:
        answer = experiments.get(session, experiment_id)
    if answer is None:
        raise DeletedSince(f"experiment {experiment_id}")
    response.headers["Location"] = f"/api/v1/experiments/{experiment_id}"
    return answer


@router.post("/preflight", response_model=Preflight, responses=responses(400, 413, 422, 501))
def preflight_experiment(
    body: ExperimentRequest, database: DatabaseDep, catalog: CatalogDep, queue: QueueDep, settings: SettingsDep
) -> Response:
    """Check a launch and estimate its cost; store nothing."""
    with database.read() as session:
        return raw_json.response(preflight.check(session, catalog, queue, settings, body).model_dump_json())


@router.post(
    "/{experiment_id}/runs",
    status_code=202,
    responses=responses(400, 404, 409, 413, 422),
)
def add_runs(
    experiment_id: ExperimentId,
    body: RunsRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    settings: SettingsDep,
    provenance: Provenance,
    key: IdempotencyKey,
) -> AddedRuns:
    """Queue more runs in the experiment. Specs that it has already give 409, or are skipped on request."""
    added, skipped = add_runs_to_experiment(database, catalog, queue, settings, experiment_id, body, provenance, key)
    try_deliver(database, queue)
    with database.read() as session:
        answer = experiments.get(session, experiment_id)
    if answer is None:
        raise _missing(experiment_id)
    if deleted := sorted({*added, *skipped}.difference(answer.runs)):
        raise DeletedSince(f"run {deleted[0]}" if len(deleted) == 1 else "runs " + ", ".join(map(str, deleted)))
    response.headers["Location"] = f"/api/v1/experiments/{experiment_id}"
    return AddedRuns(experiment=answer, added=added, skipped=skipped)


@router.post(
    "/{experiment_id}/runs/preflight", response_model=RunsPreflight, responses=responses(400, 404, 409, 413, 422)
)
def preflight_runs(
    experiment_id: ExperimentId,
    body: RunsRequest,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    settings: SettingsDep,
) -> Response:
    """Return which runs would be added to the experiment, and estimate their cost; store nothing."""
    with database.read() as session:
        answer = price_of_runs(session, catalog, queue, settings, experiment_id, body)
    return raw_json.response(answer.model_dump_json())


@router.get("/{experiment_id}/search", responses=responses(404, 422))
def get_search(experiment_id: ExperimentId, session: Reading, catalog: CatalogDep) -> SearchProgress:
    """Return what the experiment's search has tried, what comes next, and why."""
    return searches.progress(session, catalog, experiment_id)


@router.get(
    "/{experiment_id}/search/study",
    response_class=Response,
    responses={
        200: {
            "description": "the file",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **responses(404, 422, 501),
    },
)
def get_search_study(experiment_id: ExperimentId, session: Reading) -> Response:
    """Return the study of a search with Optuna as an SQLite file of Optuna's storage, under the name
    `experiment-ID`: `optuna.load_study` and Optuna's dashboard read it."""
    return Response(
        searches.study_file(session, experiment_id),
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="experiment-{experiment_id}-study.sqlite"'},
    )


@router.post("/{experiment_id}/search/stop", responses=responses(404, 409, 422))
def stop_search(experiment_id: ExperimentId, database: DatabaseDep, catalog: CatalogDep) -> SearchProgress:
    """End the search: it launches no more runs, and those that it has launched go on."""
    with database.write() as session:
        searches.stop(session, experiment_id)
        return searches.progress(session, catalog, experiment_id)


@router.get("", response_model=ExperimentPage, responses=responses(422))
def list_experiments(
    database: DatabaseDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    q: Search = None,
    owner: OwnerNames = None,
    archived: Annotated[bool | None, Query(description="default: those that are not")] = False,
    has_model: Annotated[
        bool | None,
        Query(description="whether a run that is not archived has succeeded and has a checkpoint; default: both"),
    ] = None,
) -> Response:
    """Return the experiments, newest first."""
    before = None if cursor is None else cursors.decode(cursor, _SORT)[1]
    with database.read() as session:
        rows = experiments.listing(
            session, before=before, limit=limit + 1, archived=archived, query=q, owners=owner, has_model=has_model
        )
    items = rows[:limit]
    more = cursors.encode(_SORT, items[-1].id, items[-1].id) if len(rows) > limit else None
    return raw_json.response(ExperimentPage(items=items, next_cursor=more).model_dump_json())


@router.get("/{experiment_id}", response_model=Experiment, responses=responses(404, 422))
def get_experiment(experiment_id: ExperimentId, database: DatabaseDep) -> Response:
    """Return the experiment, with the ids and states of its runs."""
    with database.read() as session:
        return raw_json.response(_json(session, experiment_id))


@router.patch("/{experiment_id}", response_model=Experiment, responses=responses(400, 404, 412, 413, 422))
def change_experiment(
    experiment_id: ExperimentId, body: ExperimentPatch, database: DatabaseDep, if_match: IfMatch = None
) -> Response:
    """Change the given fields; null leaves a field as it is. With If-Match, only if the experiment is as it was
    read."""
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    with database.write() as session:
        experiments.lock(session, experiment_id)
        require_match(if_match, _json(session, experiment_id))
        experiments.patch(session, experiment_id, changes)
        return raw_json.response(_json(session, experiment_id))


@router.delete("/{experiment_id}", responses=responses(404, 409, 412, 422))
def delete_experiment(
    experiment_id: ExperimentId, database: DatabaseDep, store: StoreDep, if_match: IfMatch = None
) -> Deleted:
    """Delete the experiment with its runs and their files; return the bytes freed. 409 while a run is active. With
    If-Match, only if the experiment is as it was read."""

    def check(session: Session) -> None:
        require_match(if_match, _json(session, experiment_id))

    return Deleted(bytes=deletion.delete_experiment(database, store, experiment_id, check))


def _json(session: Session, experiment_id: int) -> bytes:
    answer = experiments.get(session, experiment_id)
    if answer is None:
        raise _missing(experiment_id)
    return answer.model_dump_json().encode()


def _missing(experiment_id: int) -> NotFound:
    return NotFound("experiment", experiment_id, "/path/experiment_id")
