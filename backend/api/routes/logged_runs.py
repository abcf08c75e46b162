"""Runs that are trained elsewhere and recorded here."""

from fastapi import Response
from sqlalchemy.orm import Session

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, Provenance, SettingsDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.services import logged_runs
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared.contracts import FinishRequest, LogRequest, PointsReceived, PointsRequest, Run

router = resource_router("runs", "/runs")


@router.post("", status_code=201, responses=responses(400, 404, 409, 413, 422))
def create_logged_run(
    body: LogRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    settings: SettingsDep,
    provenance: Provenance,
    key: IdempotencyKey,
) -> Run:
    """Make a run for a training loop of your own. It runs until it is finished, failed or cancelled, or nothing was
    heard of it for a day; then send its points."""

    def make(session: Session) -> int:
        silence = settings.log_silence_hours * 3600
        return logged_runs.create(session, catalog, body, provenance, silence, key.caller)

    run_id = once(database, key, {"logged run": body.model_dump(mode="json")}, make).made
    response.headers["Location"] = f"/api/v1/runs/{run_id}"
    with database.read() as session:
        return get_run(session, run_id)


@router.post("/{run_id}/metrics", responses=responses(400, 404, 409, 413, 422))
def log_points(run_id: RunId, body: PointsRequest, database: DatabaseDep, settings: SettingsDep) -> PointsReceived:
    """Store points of a logged run's curves. A point that is sent again replaces itself, so a request whose answer was
    lost can be repeated. The answer says whether the training was asked to stop."""
    return logged_runs.record(database, run_id, body, settings.log_silence_hours * 3600)


@router.post("/{run_id}/finish", responses=responses(400, 404, 409, 413, 422))
def finish_logged_run(run_id: RunId, body: FinishRequest, database: DatabaseDep) -> Run:
    """End a logged run. The same end again changes nothing."""
    with database.write() as session:
        logged_runs.finish(session, run_id, body)
        session.flush()
        session.expire_all()
        return get_run(session, run_id)
