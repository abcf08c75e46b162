"""Register your own images as a data set."""

import uuid
from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile
from sqlalchemy.orm import Session

from densitylab.backend.api import form_upload
from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.middleware.body_limit import MAX_ARCHIVE_BYTES
from densitylab.backend.api.task_response import task_response
from densitylab.backend.services import registrations
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared.contracts import ArchiveRequest, RegisterRequest, Task

router = APIRouter(prefix="/registrations", tags=["datasets"])


@router.post("", status_code=202, responses=responses(400, 409, 413, 422))
def register_folder(
    body: RegisterRequest,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Register a folder or zip archive in the data folder as a data set; return the task. The catalog has the data set
    once the task has succeeded; if it fails, its error says what is wrong with the images."""

    def make(session: Session) -> int:
        return registrations.request(session, catalog, body, key.caller)

    task_id = once(database, key, {"registration": body.model_dump(mode="json")}, make).made
    return task_response(task_id, database, queue, response)


# Each further file would be a temporary file of its own
@router.post(
    "/archive",
    status_code=202,
    responses=responses(400, 409, 411, 413, 422),
    form_limits={"max_files": 1, "max_fields": 1},
)
def register_archive(
    archive: Annotated[UploadFile, File(description=f"zip archive of at most {MAX_ARCHIVE_BYTES // 2**20} MiB")],
    request: Annotated[str, Form(max_length=10_000, description="an ArchiveRequest as JSON")],
    database: DatabaseDep,
    catalog: CatalogDep,
    store: StoreDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Register an uploaded zip archive as a data set; return the task. The archive is deleted at its end."""
    body = form_upload.parse(ArchiveRequest, request)
    location = f"archives/{uuid.uuid4().hex}.zip"

    def make(session: Session) -> int:
        return registrations.request(session, catalog, body, key.caller, location)

    task_id = form_upload.task_of(
        archive, location, store, database, key, {"archive": body.model_dump(mode="json")}, make
    )
    return task_response(task_id, database, queue, response)
