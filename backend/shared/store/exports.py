"""Files of exported models: artifacts of a run whose locations name the checkpoint that they are made of."""

import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.artifacts import checksum
from densitylab.backend.shared.contracts import ExportFormat, TaskKind
from densitylab.backend.shared.store import run_artifacts, tasks
from densitylab.backend.shared.tables import ArtifactRow, TaskRow


def stem(run_id: int, checkpoint: str) -> str:
    """Return how the locations of a model's files begin, by the location of its checkpoint."""
    digest = checksum(checkpoint) or hashlib.sha256(checkpoint.encode()).hexdigest()
    return f"runs/{run_id}/exports/{digest[:16]}"


def present(session: Session, run_id: int) -> dict[ExportFormat, ArtifactRow]:
    """Return the files that are made of the run's present checkpoint."""
    checkpoint = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
    if checkpoint is None:
        return {}
    beginning = stem(run_id, checkpoint.location)
    rows = ((name, run_artifacts.artifact(session, run_id, name.file_name)) for name in ExportFormat)
    return {name: row for name, row in rows if row is not None and row.location.startswith(beginning)}


def under_way(session: Session, run_id: int, formats: list[ExportFormat]) -> int | None:
    """Return the id of a queued or running task that makes these files of the run, if there is one."""
    waiting = select(TaskRow.id, TaskRow.payload).where(
        TaskRow.run_id == run_id, TaskRow.kind == TaskKind.EXPORT, TaskRow.status.in_(tasks.ACTIVE)
    )
    return next((row.id for row in session.execute(waiting) if set(formats) <= set(row.payload["formats"])), None)
