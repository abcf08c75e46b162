"""Register your own images as a data set, and see before what that would store."""

import uuid
from typing import Annotated

from fastapi import File, Form, Path, Response, UploadFile
from sqlalchemy.orm import Session

from densitylab.backend.api import form_upload
from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.middleware.body_limit import MAX_ARCHIVE_BYTES
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.task_response import task_response
from densitylab.backend.services import registrations
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared.contracts import (
    ArchiveRequest,
    PreviewArchiveRequest,
    PreviewRequest,
    RegisterRequest,
    RegistrationPreview,
    Task,
)
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import registration_previews

router = resource_router("datasets", "/registrations")
ArchiveFile = Annotated[
    UploadFile, File(description=f"zip archive or .npz of at most {MAX_ARCHIVE_BYTES // 2**20} MiB")
]


@router.post("", status_code=202, responses=responses(400, 404, 409, 413, 422))
def register_folder(
    body: RegisterRequest,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Register a folder or archive in the data folder, a previewed archive, or a data set on the Hugging Face Hub;
    return the task. The catalog has the data set once the task has succeeded; if it fails, its error says what is wrong
    with the images."""

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
    archive: ArchiveFile,
    request: Annotated[str, Form(max_length=100_000, description="an ArchiveRequest as JSON")],
    database: DatabaseDep,
    catalog: CatalogDep,
    store: StoreDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Register an uploaded zip archive or .npz as a data set; return the task. The archive is deleted at its end."""
    body = form_upload.parse(ArchiveRequest, request)
    location = _location()

    def make(session: Session) -> int:
        return registrations.request(session, catalog, body, key.caller, location)

    task_id = form_upload.task_of(
        archive, location, store, database, key, {"archive": body.model_dump(mode="json")}, make
    )
    return task_response(task_id, database, queue, response)


@router.post("/preview", status_code=202, responses=responses(400, 404, 409, 413, 422))
def preview_folder(
    body: PreviewRequest, database: DatabaseDep, queue: QueueDep, key: IdempotencyKey, response: Response
) -> Task:
    """Read images without registering them; return the task. Once it has succeeded, GET /registrations/previews/{id}
    returns what was recognised and what is wrong."""

    def make(session: Session) -> int:
        return registrations.preview(session, body, key.caller)

    task_id = once(database, key, {"preview": body.model_dump(mode="json")}, make).made
    return task_response(task_id, database, queue, response)


@router.post(
    "/preview/archive",
    status_code=202,
    responses=responses(400, 409, 411, 413, 422),
    form_limits={"max_files": 1, "max_fields": 1},
)
def preview_archive(
    archive: ArchiveFile,
    database: DatabaseDep,
    store: StoreDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
    request: Annotated[str, Form(max_length=100_000, description="a PreviewArchiveRequest as JSON")] = "{}",
) -> Task:
    """Read the images of an uploaded archive without registering them; return the task. A registration and a further
    preview can name it as their `preview`; a day later the archive is deleted."""
    body = form_upload.parse(PreviewArchiveRequest, request)
    location = _location()

    def make(session: Session) -> int:
        return registrations.preview(session, body, key.caller, location)

    task_id = form_upload.task_of(
        archive, location, store, database, key, {"preview": body.model_dump(mode="json")}, make
    )
    return task_response(task_id, database, queue, response)


@router.get("/previews/{task_id}", responses=responses(404, 422))
def get_preview(
    task_id: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the preview's task")], session: Reading
) -> RegistrationPreview:
    """Return what a registration would store, once its preview has succeeded."""
    found = registration_previews.get(session, task_id)
    if found is None:
        raise NotFound("preview that has succeeded", task_id, "/path/task_id")
    return found


def _location() -> str:
    return f"archives/{uuid.uuid4().hex}.zip"
