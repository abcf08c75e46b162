"""Previews of registrations: what they found, and their uploaded archives."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import tasks
from densitylab.backend.shared.tables import TaskRow


def get(session: Session, task_id: int) -> contracts.RegistrationPreview | None:
    """Return what a successful preview found."""
    row = session.get(TaskRow, task_id)
    if row is None or row.kind != TaskKind.PREVIEW or row.status != Status.SUCCEEDED:
        return None
    return contracts.RegistrationPreview(**row.payload["found"])


def keep(session: Session, task_id: int, found: contracts.RegistrationPreview) -> None:
    """Store what a preview found with its task; call tasks.fence first."""
    row = session.get_one(TaskRow, task_id)
    row.payload = {**row.payload, "found": found.model_dump(mode="json")}


def upload(session: Session, task_id: int) -> str | None:
    """Return the location of the archive that a preview read; None where there is none."""
    row = session.get(TaskRow, task_id)
    return row.payload.get("upload") if row is not None and row.kind == TaskKind.PREVIEW else None


def uploads(session: Session) -> set[str]:
    """Return the locations of the archives of previews that have not failed, until their tasks are pruned."""
    needed = or_(TaskRow.status.in_(tasks.ACTIVE), TaskRow.status == Status.SUCCEEDED)
    payloads = session.scalars(select(TaskRow.payload).where(TaskRow.kind == TaskKind.PREVIEW, needed))
    return {payload["upload"] for payload in payloads if payload.get("upload")}
