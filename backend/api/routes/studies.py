"""Studies: experiments launched together for a question, with the report that answers it."""

from typing import Annotated

from fastapi import Path, Query, Request, Response

from densitylab.backend.api import cursors
from densitylab.backend.api.dependencies import (
    CallerDep,
    CatalogDep,
    Cursor,
    DatabaseDep,
    Limit,
    Provenance,
    QueueDep,
    Reading,
    SettingsDep,
    StoreDep,
)
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services import studies as service
from densitylab.backend.services import study_reports
from densitylab.backend.services.idempotency import DeletedSince
from densitylab.backend.services.values_per_image import ValuesPerImage
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts.fields import Key
from densitylab.backend.shared.contracts.studies import (
    Study,
    StudyPreflight,
    StudyReport,
    StudyRequest,
    StudySizeName,
)
from densitylab.backend.shared.store import studies

router = resource_router("studies", "/studies")
StudyId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the study")]
_SORT = "-id"


class StudyPage(contracts.Page[Study]):
    """A page of studies."""


@router.post("", status_code=202, responses=responses(400, 409, 413, 422))
def launch_study(
    body: StudyRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    settings: SettingsDep,
    provenance: Provenance,
    key: IdempotencyKey,
) -> Study:
    """Launch the experiments of a study. What needs a data set that is missing is left out, with a sentence that says
    what to do; the rest runs."""
    study_id = service.launch(database, catalog, queue, settings, body, provenance, key)
    try_deliver(database, queue)
    with database.read() as session:
        stored = studies.get(session, study_id)
        if stored is None:
            raise DeletedSince(f"study {study_id}")
        answer = service.describe(session, stored)
    response.headers["Location"] = f"/api/v1/studies/{study_id}"
    return answer


@router.post("/preflight", responses=responses(400, 413, 422))
def preflight_study(
    body: StudyRequest, session: Reading, catalog: CatalogDep, queue: QueueDep, settings: SettingsDep
) -> StudyPreflight:
    """Check a study and estimate its cost; store nothing."""
    return service.check(session, catalog, queue, settings, body)


@router.get("", responses=responses(422))
def list_studies(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    key: Annotated[Key | None, Query(description="of this study alone")] = None,
    size: Annotated[StudySizeName | None, Query(description="of this size alone")] = None,
) -> StudyPage:
    """Return the studies that were launched, newest first."""
    before = None if cursor is None else cursors.decode(cursor, _SORT)[1]
    rows = studies.listing(session, before=before, limit=limit + 1, key=key, size=size)
    items = service.describe_all(session, rows[:limit])
    more = cursors.encode(_SORT, items[-1].id, items[-1].id) if len(rows) > limit else None
    return StudyPage(items=items, next_cursor=more)


@router.get("/{study_id}", responses=responses(404, 422))
def get_study(study_id: StudyId, session: Reading) -> Study:
    """Return a study with the state of its experiments."""
    return service.describe(session, service.find(session, study_id))


@router.post("/{study_id}/continue", status_code=202, responses=responses(404, 422))
def continue_study(
    study_id: StudyId,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    settings: SettingsDep,
    provenance: Provenance,
    caller: CallerDep,
) -> Study:
    """Launch the experiments that were left out and are possible now; a repeated request launches none twice."""
    service.go_on(database, catalog, queue, settings, study_id, provenance, caller)
    try_deliver(database, queue)
    response.headers["Location"] = f"/api/v1/studies/{study_id}"
    with database.read() as session:
        return service.describe(session, service.find(session, study_id))


@router.get("/{study_id}/report", responses=responses(404, 422))
def get_study_report(
    request: Request, study_id: StudyId, session: Reading, catalog: CatalogDep, store: StoreDep
) -> StudyReport:
    """Return tables, figures and claims of the study's runs so far; each figure names its runs."""
    per_image = ValuesPerImage(session, store, request.app.state.sample_values)
    return study_reports.report(session, catalog, per_image, service.find(session, study_id))


@router.delete("/{study_id}", responses=responses(404, 422))
def delete_study(study_id: StudyId, database: DatabaseDep) -> Study:
    """Delete the study, and return it as it was; its experiments stay."""
    with database.write() as session:
        answer = service.describe(session, service.find(session, study_id))
        studies.remove(session, study_id)
    return answer
