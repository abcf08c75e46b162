"""Delivery of queued tasks to the broker: undelivered, delivered and lost tasks, and positions in the queue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session, aliased

from densitylab.backend.shared.contracts import Priority, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.id_array import id_array, in_id_array
from densitylab.backend.shared.store.tasks import RANKS, priority_of
from densitylab.backend.shared.tables import TaskRow


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A queued task to deliver as the job `{task_id}-{delivery}`."""

    task_id: int
    kind: TaskKind
    delivery: int
    priority: Priority = Priority.NORMAL


def undelivered(session: Session, limit: int = 200, *, followers: bool = True, lock: bool = False) -> list[Undelivered]:
    """Return queued tasks that the broker does not have, by priority, then age.

    Args:
        followers: include tasks that waited for another task, which has succeeded, if there are fewer than `limit`
            others. This reads all tasks that still wait.
        lock: lock the rows for this transaction, and leave out those that another one has locked.
    """
    queued = select(TaskRow.id, TaskRow.kind, TaskRow.delivery, TaskRow.priority).where(
        TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(False)
    )
    # Each in the order of its index: a sort would read all of ten thousand tasks for every batch of them
    each = [queued.where(TaskRow.after_task.is_(None), TaskRow.priority == rank).order_by(TaskRow.id) for rank in RANKS]
    if followers:
        before = aliased(TaskRow)
        following = queued.join(before, TaskRow.after_task == before.id).where(before.status == Status.SUCCEEDED)
        each.append(following.order_by(TaskRow.priority.desc(), TaskRow.id))
    rows: list[Any] = []
    for statement in each:
        if lock:
            statement = statement.with_for_update(of=TaskRow, key_share=True, skip_locked=True)
        if len(rows) < limit:
            rows += session.execute(statement.limit(limit - len(rows))).all()
    rows.sort(key=lambda row: (-row.priority, row.id))
    return [
        Undelivered(
            task_id=row.id, kind=TaskKind(row.kind), delivery=row.delivery + 1, priority=priority_of(row.priority)
        )
        for row in rows
    ]


def queue_positions(session: Session, task_ids: Sequence[int]) -> dict[int, int]:
    """Return the positions (from 1) of queued trainings in the order in which workers take them."""
    if not task_ids:
        return {}
    rows = session.execute(_POSITIONS, {"task_ids": task_ids})
    return {row.id: row.position for row in rows}


_ORDERED = (
    select(
        TaskRow.id,
        func.row_number()
        .over(order_by=(TaskRow.priority.desc(), TaskRow.delivered.desc(), TaskRow.delivered_at, TaskRow.id))
        .label("position"),
    )
    .where(TaskRow.status == Status.QUEUED, TaskRow.kind == TaskKind.TRAIN)
    .subquery()
)
_POSITIONS = select(_ORDERED.c.id, _ORDERED.c.position).where(in_id_array(_ORDERED.c.id, id_array("task_ids")))


def take(session: Session, limit: int, *, followers: bool = True) -> list[Undelivered]:
    """Mark undelivered tasks as delivered and return them; the caller delivers them after the commit, so that no other
    process delivers them too."""
    taken = undelivered(session, limit, followers=followers, lock=True)
    if taken:
        newest = session.scalar(_NEWEST) or 0.0
        # Later than those before even if the clock was set back: the order of these times is that of the queues
        at = max(now(session), newest + 1e-6)
        session.execute(_TAKE, {"task_ids": [item.task_id for item in taken], "at": at})
    return taken


_NEWEST = select(func.max(TaskRow.delivered_at)).where(TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(True))
_TAKE = (
    update(TaskRow)
    .where(in_id_array(TaskRow.id, id_array("task_ids")))
    .values(delivery=TaskRow.delivery + 1, delivered=True, delivered_at=bindparam("at"))
    .execution_options(synchronize_session=False)
)


def outstanding(session: Session) -> set[tuple[int, int]]:
    """Return (task, delivery) of the tasks that were delivered and not claimed yet."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.delivery).where(TaskRow.status == Status.QUEUED, TaskRow.delivered.is_(True))
    )
    return {(row.id, row.delivery) for row in rows}


def mark_lost(session: Session, deliveries: Iterable[tuple[int, int]]) -> None:
    """Record that the broker does not have these (task, delivery), so that the tasks are delivered again. A task that
    was claimed or delivered again meanwhile keeps its state."""
    by_number: dict[int, list[int]] = {}
    for task_id, number in deliveries:
        by_number.setdefault(number, []).append(task_id)
    for number, task_ids in by_number.items():
        session.execute(_MARK_LOST, {"task_ids": task_ids, "number": number})


# Rows that another transaction has locked change by that transaction; the next comparison sees what they are then
_MARK_LOST = (
    update(TaskRow)
    .where(
        TaskRow.id.in_(
            select(TaskRow.id)
            .where(
                in_id_array(TaskRow.id, id_array("task_ids")),
                TaskRow.delivery == bindparam("number"),
                TaskRow.status == Status.QUEUED,
                TaskRow.delivered.is_(True),
            )
            .with_for_update(key_share=True, skip_locked=True)
        )
    )
    .values(delivered=False)
    .execution_options(synchronize_session=False)
)
