"""Tasks in numbers, for monitoring."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.shared.contracts import Status
from backend.shared.database import now
from backend.shared.tables import RunRow, TaskRow


@dataclass(frozen=True)
class Busy:
    worker: str
    kind: str
    device: str  # "" until the task has said so
    memory_bytes: int | None  # of its process, and of its GPU; None where it has not said so
    device_memory_bytes: int | None


def counts(session: Session) -> dict[tuple[str, str], int]:
    """Number of tasks by (kind, status)."""
    rows = session.execute(select(TaskRow.kind, TaskRow.status, func.count()).group_by(TaskRow.kind, TaskRow.status))
    return {(kind, status): number for kind, status, number in rows}


def oldest_waiting(session: Session) -> dict[tuple[str, str], float]:
    """Seconds since the oldest task of each (kind, queued or running) was made or started."""
    since = func.min(func.coalesce(TaskRow.started_at, TaskRow.created_at))
    rows = session.execute(
        select(TaskRow.kind, TaskRow.status, since).where(TaskRow.status.in_((Status.QUEUED, Status.RUNNING)))
        .group_by(TaskRow.kind, TaskRow.status)
    )
    at = now(session)
    return {(kind, status): at - began for kind, status, began in rows}


def busy_workers(session: Session) -> list[Busy]:
    rows = session.execute(
        select(TaskRow.worker, TaskRow.kind, RunRow.device, TaskRow.memory_bytes, TaskRow.device_memory_bytes)
        .outerjoin(RunRow, TaskRow.run_id == RunRow.id).where(TaskRow.status == Status.RUNNING)
    )
    return [Busy(worker or "", kind, device or "", *memory) for worker, kind, device, *memory in rows]


def longest_undelivered(session: Session) -> float:
    """Seconds for which the oldest task that could go to the broker has waited to; 0 where none does."""
    made = session.scalar(
        select(func.min(TaskRow.created_at)).where(
            TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(False), TaskRow.after_task.is_(None),
            TaskRow.attempt == 0,
        )
    )
    return 0.0 if made is None else now(session) - made
