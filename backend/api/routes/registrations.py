"""Registering one's own images as a data set."""

import uuid
from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import ValidationError

from backend import registering
from backend.api.accepted import accepted
from backend.api.body_limit import MAX_ARCHIVE_BYTES
from backend.api.dependencies import DatabaseDep, QueueDep, RegisteredKnown, StoreDep
from backend.api.problems import conflict, responses
from backend.queue import Queue
from backend.shared import specs
from backend.shared.contracts import ArchiveRequest, FieldError, RegisterRequest, Task
from backend.shared.database import Database

router = APIRouter(prefix="/registrations", tags=["datasets"], dependencies=[RegisteredKnown])


@router.post("", status_code=202, responses=responses(400, 409, 413, 422))
def register_folder(body: RegisterRequest, database: DatabaseDep, queue: QueueDep, response: Response) -> Task:
    """Makes a data set of a folder or a zip archive in the data folder; answers the task that does it. The data set
    is in the catalog when the task has succeeded; where it fails, its error says what is wrong with the images."""
    return _ask(database, queue, response, body, None)


@router.post("/archive", status_code=202, responses=responses(400, 409, 411, 413, 422))
def register_archive(
    archive: Annotated[UploadFile, File(description=f"a zip archive of at most {MAX_ARCHIVE_BYTES // 2**20} MiB")],
    request: Annotated[str, Form(max_length=10_000, description="an ArchiveRequest as JSON")],
    database: DatabaseDep, store: StoreDep, queue: QueueDep, response: Response,
) -> Task:
    """The same with an uploaded zip archive, which is deleted once the task has ended."""
    try:
        wanted = ArchiveRequest.model_validate_json(request)
    except ValidationError as error:
        raise specs.InvalidRequest([
            FieldError(pointer="/request" + specs.pointer(*item["loc"]), detail=item["msg"]) for item in error.errors()
        ]) from None
    location = f"archives/{uuid.uuid4().hex}.zip"
    store.write_from(location, archive.file)
    try:
        return _ask(database, queue, response, wanted, location)
    except BaseException:
        store.delete(location)
        raise


def _ask(
    database: Database, queue: Queue, response: Response, request: ArchiveRequest, upload: str | None
) -> Task:
    try:
        with database.write() as session:
            task_id = registering.ask(session, request, upload)
    except registering.KeyTaken as taken:
        raise conflict(str(taken), "/label") from None
    return accepted(task_id, database, queue, response)
