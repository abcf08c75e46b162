"""Files of runs."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend.api.dependencies import DatabaseDep, Reading, StoreDep
from backend.api.problems import not_found, responses
from backend.api.routes.runs import RunId, found, missing
from backend.shared import contracts
from backend.shared.contracts import Artifact
from backend.shared.store import runs

router = APIRouter(prefix="/runs/{run_id}/artifacts", tags=["artifacts"])
ArtifactName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]


class ArtifactPage(contracts.Page):
    items: list[Artifact]


@router.get("", responses=responses(404, 422))
def list_artifacts(run_id: RunId, session: Reading) -> ArtifactPage:
    found(runs.get(session, run_id), run_id)
    return ArtifactPage(items=runs.artifacts(session, run_id))


@router.get(
    "/{name}", response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses(404, 422),
    },
)
def download_artifact(run_id: RunId, name: ArtifactName, database: DatabaseDep, store: StoreDep) -> Response:
    """The file's content."""
    # A checkpoint may move on between the look at its row and the reading of its file: look once more
    for _ in range(2):
        with database.read() as session:
            if runs.get(session, run_id) is None:
                raise missing(run_id)
            row = runs.artifact(session, run_id, name)
        if row is None:
            break
        try:
            content = store.read(row.location)
        except FileNotFoundError:
            continue
        headers = {"Content-Disposition": f'attachment; filename="run-{run_id}-{name}"'}
        return Response(content, media_type=row.media_type, headers=headers)
    raise not_found("artifact", name, "/path/name")
