"""Queued tasks on their way to the broker: what has to go out, what has gone or was lost, in which order it waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from backend.shared.contracts import Priority, Status, TaskKind
from backend.shared.database import now
from backend.shared.store.among import among, list_of_ids
from backend.shared.store.tasks import priority_of
from backend.shared.tables import TaskRow


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A queued task that has to go to the broker, as the job `{task_id}-{delivery}`."""

    task_id: int
    kind: TaskKind
    delivery: int
    priority: Priority = Priority.NORMAL


def undelivered(session: Session, limit: int = 200, *, followers: bool = True) -> list[Undelivered]:
    """Queued tasks that the broker does not have; the highest priority first, then the oldest.

    Args:
        followers: with those that had to wait for another task, which has succeeded by now. To find them all that still
            have to wait are looked at.
    """
    statement = select(TaskRow.id, TaskRow.kind, TaskRow.delivery, TaskRow.priority).where(
        TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(False)
    )
    if followers:
        before = aliased(TaskRow)
        statement = statement.outerjoin(before, TaskRow.after_task == before.id).where(
            or_(TaskRow.after_task.is_(None), before.status == Status.SUCCEEDED)
        )
    else:
        statement = statement.where(TaskRow.after_task.is_(None))
    rows = session.execute(statement.order_by(TaskRow.priority.desc(), TaskRow.id).limit(limit))
    return [
        Undelivered(task_id=row.id, kind=TaskKind(row.kind), delivery=row.delivery + 1,
                    priority=priority_of(row.priority))
        for row in rows
    ]


def queue_positions(session: Session, task_ids: Sequence[int]) -> dict[int, int]:
    """The places (from 1) of queued trainings in the order in which workers take them."""
    if not task_ids:
        return {}
    rows = session.execute(_POSITIONS, {"task_ids": task_ids})
    return {row.id: row.place for row in rows}


_PLACES = (
    select(TaskRow.id, func.row_number().over(order_by=(
        TaskRow.priority.desc(), TaskRow.delivered.desc(), TaskRow.delivered_at, TaskRow.id
    )).label("place"))
    .where(TaskRow.status == Status.QUEUED, TaskRow.kind == TaskKind.TRAIN).subquery()
)
_POSITIONS = select(_PLACES.c.id, _PLACES.c.place).where(among(_PLACES.c.id, list_of_ids("task_ids")))


def mark_delivered(session: Session, deliveries: Sequence[Undelivered]) -> None:
    """Notes that the broker has these jobs now, at least one. A task claimed in the meantime keeps its state."""
    at = now(session)
    by_number: dict[int, list[int]] = {}
    for item in deliveries:
        by_number.setdefault(item.delivery, []).append(item.task_id)
    # All by their ids, as everybody takes them: two that hold what the other waits for would never end
    taken = select(TaskRow.id).where(TaskRow.id.in_([item.task_id for item in deliveries])).order_by(TaskRow.id)
    number = case(*((TaskRow.id.in_(task_ids), number) for number, task_ids in by_number.items()))
    session.execute(
        update(TaskRow)
        .where(TaskRow.id.in_(taken.with_for_update()), TaskRow.delivery < number)
        .values(delivery=number, delivered=True, delivered_at=at)
    )


def outstanding(session: Session, older_than: float) -> list[tuple[int, TaskKind, int]]:
    """(id, kind, delivery) of queued tasks delivered at least `older_than` seconds ago: the broker should have them."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.kind, TaskRow.delivery).where(
            TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(True),
            TaskRow.delivered_at < now(session) - older_than,
        )
    )
    return [(row.id, TaskKind(row.kind), row.delivery) for row in rows]


def mark_lost(session: Session, task_id: int, delivery: int) -> None:
    """The broker no longer has this delivery: deliver again."""
    session.execute(
        update(TaskRow)
        .where(TaskRow.id == task_id, TaskRow.delivery == delivery, TaskRow.status == Status.QUEUED)
        .values(delivered=False)
    )
