"""Comparisons of penalties, which are kept with their tasks."""

from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.tables import TaskRow


def get(session: Session, task_id: int) -> contracts.PenaltyComparison | None:
    """Return what a successful task has found."""
    row = session.get(TaskRow, task_id)
    if row is None or row.kind != TaskKind.PENALTIES or row.status != Status.SUCCEEDED:
        return None
    return contracts.PenaltyComparison(**row.payload["found"])


def keep(session: Session, task_id: int, found: contracts.PenaltyComparison) -> None:
    """Store what a task has found; call tasks.fence first."""
    row = session.get_one(TaskRow, task_id)
    row.payload = {**row.payload, "found": found.model_dump(mode="json")}
