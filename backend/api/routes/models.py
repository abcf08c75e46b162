"""Models that were trained elsewhere: inspect a file, and import it as a run."""

import uuid
from typing import Annotated

from fastapi import File, Form, Path, Response, UploadFile
from sqlalchemy.orm import Session

from densitylab.backend.api import form_upload
from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, Provenance, QueueDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.task_response import task_response
from densitylab.backend.services import imports
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared.contracts import ImportRequest, Inspection, InspectRequest, Misfits, Task
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import imports as store_imports

router = resource_router("models", "/models")
ModelFile = Annotated[
    UploadFile, File(description="weights: safetensors, or a PyTorch checkpoint (.pt, .pth, .th, .ckpt, .bin)")
]


@router.post("", status_code=202, responses=responses(400, 403, 404, 409, 413, 422))
def import_model(
    body: ImportRequest,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    provenance: Provenance,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Import an inspected file, or a network with its published weights, as a run; return the task. The run exists, as
    the task's `run`, once the task has succeeded; if the weights do not fit, its error names those that do not."""

    def make(session: Session) -> int:
        return imports.request(session, catalog, queue, body, key.caller, dict(provenance))

    task_id = once(database, key, {"model": body.model_dump(mode="json")}, make).made
    return task_response(task_id, database, queue, response)


# Each further file would be a temporary file of its own
@router.post(
    "/file",
    status_code=202,
    responses=responses(400, 403, 404, 409, 411, 413, 422),
    form_limits={"max_files": 1, "max_fields": 1},
)
def import_model_file(
    file: ModelFile,
    request: Annotated[str, Form(max_length=1_000_000, description="an ImportRequest as JSON")],
    database: DatabaseDep,
    catalog: CatalogDep,
    store: StoreDep,
    queue: QueueDep,
    provenance: Provenance,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Import an uploaded file of weights as a run; return the task. The file is read without running code, and deleted
    at the task's end. The run exists, as the task's `run`, once the task has succeeded."""
    body = form_upload.parse(ImportRequest, request)
    location = _location()

    def make(session: Session) -> int:
        name = imports.safe_name(file.filename)
        return imports.request(
            session, catalog, queue, body, key.caller, dict(provenance), upload=location, file_name=name
        )

    task_id = form_upload.task_of(
        file, location, store, database, key, {"ImportRequest": body.model_dump(mode="json")}, make
    )
    return task_response(task_id, database, queue, response)


@router.post(
    "/inspect",
    status_code=202,
    responses=responses(400, 409, 411, 413, 422),
    form_limits={"max_files": 1, "max_fields": 1},
)
def inspect_model(
    file: ModelFile,
    database: DatabaseDep,
    catalog: CatalogDep,
    store: StoreDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
    request: Annotated[str, Form(max_length=10_000, description="an InspectRequest as JSON")] = "{}",
) -> Task:
    """Inspect an uploaded file of weights; return the task. Once it has succeeded, GET /models/inspections/{id} returns
    what the file contains, and an import can name it as its `upload`; both are deleted a day later."""
    body = form_upload.parse(InspectRequest, request)
    location = _location()

    def make(session: Session) -> int:
        name = imports.safe_name(file.filename)
        return imports.inspect(session, catalog, body, key.caller, upload=location, file_name=name)

    task_id = form_upload.task_of(
        file, location, store, database, key, {"InspectRequest": body.model_dump(mode="json")}, make
    )
    return task_response(task_id, database, queue, response)


@router.get("/inspections/{task_id}", responses=responses(404, 422))
def get_inspection(
    task_id: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the inspection's task")], session: Reading
) -> Inspection:
    """Return what an uploaded file contains, once its inspection has succeeded."""
    inspected = store_imports.inspection(session, task_id)
    if inspected is None:
        raise NotFound("inspection that has succeeded", task_id, "/path/task_id")
    return inspected[0]


@router.get("/imports/{task_id}/misfits", responses=responses(404, 422))
def get_misfits(
    task_id: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the import's task")], session: Reading
) -> Misfits:
    """Return the weights that made an import fail, because they do not fit the network; none if it did not fail so."""
    misfits = store_imports.misfits(session, task_id)
    if misfits is None:
        raise NotFound("import", task_id, "/path/task_id")
    return misfits


def _location() -> str:
    return f"models/{uuid.uuid4().hex}"
