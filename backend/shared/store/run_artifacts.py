"""Files of runs, among them their checkpoints. The rows name the files, which lie in the artifact store."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import ArtifactRow, RunRow

CHECKPOINT, CHECKPOINT_BEFORE = "checkpoint.pt", "checkpoint_before.pt"  # names of artifacts


def move_checkpoint(
    session: Session, run_id: int, *, location: str, size: int, step: int, final: bool = False
) -> list[str]:
    """Point the run to a new checkpoint file; return the locations of those to delete after the commit.

    Until the final one, the checkpoint before is kept too: the run continues from it if the newest is damaged.
    """
    row = session.get_one(RunRow, run_id)
    row.checkpoint_step = step
    newest, before = artifact(session, run_id, CHECKPOINT), artifact(session, run_id, CHECKPOINT_BEFORE)
    unused = []
    if newest is not None and newest.location != location:
        unused += _remove_artifact(session, before)
        newest.name, before = CHECKPOINT_BEFORE, newest
        session.flush()
    if final:
        unused += _remove_artifact(session, before)
    put_artifact(
        session, run_id, CHECKPOINT, location=location, size=size, media_type="application/octet-stream", step=step
    )
    return unused


def discard_checkpoint(session: Session, run_id: int) -> ArtifactRow | None:
    """Forget the run's newest checkpoint, which is damaged; return the one before, which replaces it, if there is one.

    The file stays, to delete after the commit.
    """
    before = artifact(session, run_id, CHECKPOINT_BEFORE)
    _remove_artifact(session, artifact(session, run_id, CHECKPOINT))
    if before is not None:
        before.name = CHECKPOINT
    session.get_one(RunRow, run_id).checkpoint_step = None if before is None else before.step
    session.flush()
    return before


def _remove_artifact(session: Session, row: ArtifactRow | None) -> list[str]:
    """Remove a file's row, if there is one; return the file's location, to delete after the commit."""
    if row is None:
        return []
    session.delete(row)
    session.flush()
    return [row.location]


def put_artifact(
    session: Session,
    run_id: int,
    name: str,
    *,
    location: str,
    size: int,
    media_type: str,
    step: int | None = None,
) -> str | None:
    """Points the run's artifact `name` at a file; returns the location that it replaces."""
    row = session.scalar(select(ArtifactRow).where(ArtifactRow.run_id == run_id, ArtifactRow.name == name))
    at = now(session)
    old = None
    if row is None:
        row = ArtifactRow(run_id=run_id, name=name)
        session.add(row)
    elif row.location != location:
        old = row.location
    row.location, row.bytes, row.media_type, row.step, row.created_at = location, size, media_type, step, at
    session.flush()
    return old


def artifacts(session: Session, run_id: int) -> list[contracts.Artifact]:
    rows = session.scalars(select(ArtifactRow).where(ArtifactRow.run_id == run_id).order_by(ArtifactRow.name))
    return [
        contracts.Artifact(
            name=row.name,
            bytes=row.bytes,
            media_type=row.media_type,
            step=row.step,
            created_at=to_datetime(row.created_at),
        )
        for row in rows
    ]


def artifact(session: Session, run_id: int, name: str) -> ArtifactRow | None:
    """Return the file's row, which has its location."""
    return session.scalar(select(ArtifactRow).where(ArtifactRow.run_id == run_id, ArtifactRow.name == name))


def checkpoints(session: Session, run_ids: Sequence[int]) -> dict[int, ArtifactRow]:
    """Return the row of each run's checkpoint, for the runs that have one."""
    rows = session.scalars(select(ArtifactRow).where(ArtifactRow.run_id.in_(run_ids), ArtifactRow.name == CHECKPOINT))
    return {row.run_id: row for row in rows}


def checkpoint_locations(session: Session, run_id: int) -> list[str]:
    """Return the locations of the run's checkpoints: of the newest, then of the one before."""
    stored = (artifact(session, run_id, name) for name in (CHECKPOINT, CHECKPOINT_BEFORE))
    return [row.location for row in stored if row is not None]
