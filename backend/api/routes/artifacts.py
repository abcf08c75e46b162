"""Files of runs."""

from typing import Annotated

from fastapi import Path, Request, Response

from densitylab.backend.api.dependencies import DatabaseDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.file_response import file_response
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.services.runs import damaged
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared import contracts
from densitylab.backend.shared.artifacts import DamagedFile
from densitylab.backend.shared.contracts import Artifact
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import run_artifacts

router = resource_router("artifacts", "/runs/{run_id}/artifacts")
ArtifactName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100, description="name of the file")]


class ArtifactPage(contracts.Page[Artifact]):
    """A page of artifacts."""


@router.get("", responses=responses(404, 422))
def list_artifacts(run_id: RunId, session: Reading) -> ArtifactPage:
    """Return the run's files."""
    get_run(session, run_id)
    return ArtifactPage(items=run_artifacts.artifacts(session, run_id))


@router.get(
    "/{name}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses(404, 409, 416, 422),
    },
)
def download_artifact(
    run_id: RunId, name: ArtifactName, request: Request, database: DatabaseDep, store: StoreDep
) -> Response:
    """Return the file's content, with its SHA-256 in the header Repr-Digest, or with Range a part of it (206), which is
    not compared with its checksum. 409 if the stored file is damaged."""
    # A new checkpoint may replace the file between the two reads: try again once
    for _ in range(2):
        with database.read() as session:
            get_run(session, run_id)
            row = run_artifacts.artifact(session, run_id, name)
        if row is None:
            break
        try:
            file = store.open(row.location, check="range" not in request.headers)
        except FileNotFoundError:
            continue
        except DamagedFile:
            raise damaged(run_id, name) from None
        return file_response(request, file, row.location, media_type=row.media_type, filename=f"run-{run_id}-{name}")
    raise NotFound("artifact", name, "/path/name")
