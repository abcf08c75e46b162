"""Models to take away."""

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.api.task_response import task_response
from densitylab.backend.api.zip_stream import zip_stream
from densitylab.backend.services import exports
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared.contracts import ExportRequest, ModelConfig, Task

router = resource_router("exports", "/runs/{run_id}")
_MEDIA_TYPE = "application/octet-stream"  # generators of clients refuse application/zip


@router.post("/exports", status_code=202, responses=responses(400, 404, 409, 413, 422))
def export_model(
    run_id: RunId,
    body: ExportRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
) -> Task:
    """Write the run's model to files, test each by running it, and store them as artifacts of the run; return the task.
    If a format is not possible, the task fails with the reason, and the files of the others are stored."""

    def make(session: Session) -> int:
        return exports.request(session, catalog, run_id, body, key.caller)

    made = once(database, key, {"run": run_id, "export": body.model_dump(mode="json")}, make).made
    return task_response(made, database, queue, response)


@router.get("/config.json", responses=responses(404, 409, 422))
def get_model_config(run_id: RunId, session: Reading, catalog: CatalogDep) -> ModelConfig:
    """Return how the run's network is built. `densitylab.load_model` builds it from this and the weights."""
    return exports.config(session, catalog, get_run(session, run_id))


@router.get(
    "/export.zip",
    response_class=Response,
    responses={
        200: {
            "description": "one folder with the files",
            "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        **responses(404, 409, 422),
    },
)
def download_export(run_id: RunId, database: DatabaseDep, catalog: CatalogDep, store: StoreDep) -> Response:
    """Return a folder that the Hugging Face Hub takes as it is: model.safetensors, config.json, a model card, the
    spec that trains the run again, and the other files that were exported. 409 until the weights are exported."""
    with database.read() as session:
        files = exports.folder(session, catalog, store, run_id)
    return StreamingResponse(
        zip_stream(f"run-{run_id}", exports.opened(store, files)),
        media_type=_MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="run-{run_id}.zip"'},
    )
