"""Numbers of tasks, for monitoring."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import QueueName, Status, TaskKind, queue_of
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.tasks import priority_of
from densitylab.backend.shared.tables import RunRow, TaskRow


@dataclass(frozen=True)
class Busy:
    worker: str
    kind: str
    device: str  # "" until the task has reported it
    memory_bytes: int | None  # peak of its process, and of its GPU; None if not reported
    device_memory_bytes: int | None


def oldest_waiting(session: Session) -> dict[tuple[str, str], float]:
    """Return the seconds since the oldest queued or running task of each kind was created or started."""
    since = func.min(func.coalesce(TaskRow.started_at, TaskRow.created_at))
    rows = session.execute(
        select(TaskRow.kind, TaskRow.status, since)
        .where(TaskRow.status.in_((Status.QUEUED, Status.RUNNING)))
        .group_by(TaskRow.kind, TaskRow.status)
    )
    at = now(session)
    return {(kind, status): max(at - began, 0.0) for kind, status, began in rows}


def oldest_queued(session: Session) -> dict[QueueName, float]:
    """Return the seconds since the oldest task that waits on each queue was created. Tasks that follow another one wait
    on none yet."""
    rows = session.execute(
        select(TaskRow.kind, TaskRow.priority, func.min(TaskRow.created_at))
        .where(TaskRow.status == Status.QUEUED, TaskRow.delivered)
        .group_by(TaskRow.kind, TaskRow.priority)
    )
    at = now(session)
    ages: dict[QueueName, float] = {}
    for kind, rank, since in rows:
        name = queue_of(TaskKind(kind), priority_of(rank))
        ages[name] = max(ages.get(name, 0.0), at - since)
    return ages


def busy_workers(session: Session) -> list[Busy]:
    rows = session.execute(
        select(TaskRow.worker, TaskRow.kind, RunRow.device, TaskRow.memory_bytes, TaskRow.device_memory_bytes)
        .outerjoin(RunRow, TaskRow.run_id == RunRow.id)
        .where(TaskRow.status == Status.RUNNING)
    )
    return [Busy(worker or "", kind, device or "", *memory) for worker, kind, device, *memory in rows]


def longest_undelivered(session: Session) -> float:
    """Return the seconds for which the oldest deliverable task has waited for delivery; 0 if there is none."""
    made = session.scalar(
        select(func.min(TaskRow.created_at)).where(
            TaskRow.status == Status.QUEUED,
            TaskRow.delivered.is_(False),
            TaskRow.after_task.is_(None),
            TaskRow.attempt == 0,
        )
    )
    return 0.0 if made is None else max(now(session) - made, 0.0)
