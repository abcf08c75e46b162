"""Events: one row for every new status of a run's tasks, written in the transaction that changes it."""

from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.contracts import TaskKind
from backend.shared.database import now
from backend.shared.store.times import moment
from backend.shared.tables import EventRow, TaskRow

SETTLED_SECONDS = 5.0  # no transaction that writes events takes longer
_SUBJECTS = {TaskKind.TRAIN: "run", TaskKind.EVALUATE: "evaluation"}


def note(session: Session, *which: ColumnElement[bool]) -> None:
    """An event with the present status of each task that `which` selects, if it belongs to a run."""
    at: Any = literal(now(session))
    changed = select(TaskRow.run_id, TaskRow.id, TaskRow.kind, TaskRow.status, TaskRow.error, at).where(
        TaskRow.run_id.is_not(None), TaskRow.kind.in_(_SUBJECTS), *which
    )
    columns = ["run_id", "task_id", "kind", "status", "error", "at"]
    session.execute(insert(EventRow).from_select(columns, changed.order_by(TaskRow.id)))


def head(session: Session) -> int:
    """The id of the newest event; 0 where there is none."""
    return session.scalar(select(func.max(EventRow.id))) or 0


def since(session: Session, after: int, limit: int = 200) -> list[Row]:
    """The events after that id, in order, as far as no earlier one can still come.

    PostgreSQL gives ids before the commit: where one is missing, its transaction may be at work still, and a reader
    that went on past it would never see it. So the answer ends at a gap until the gap is old.
    """
    rows = session.execute(
        select(*EventRow.__table__.columns).where(EventRow.id > after).order_by(EventRow.id).limit(limit)
    ).all()
    young = now(session) - SETTLED_SECONDS
    settled = []
    for row in rows:
        if row.id != after + 1 and row.at > young:
            break
        settled.append(row)
        after = row.id
    return settled


def answer(row: Row | EventRow) -> contracts.Event:
    return contracts.Event(
        id=row.id, type=f"{_SUBJECTS[TaskKind(row.kind)]}.{row.status}", run=row.run_id, task=row.task_id,
        error=row.error, at=moment(row.at),
    )


def forget(session: Session, before: float) -> None:
    """Removes what happened before that time."""
    session.execute(delete(EventRow).where(EventRow.at < before))
