"""Events: a row for every new status of a run's tasks, and for what these complete together, inserted in the
transaction that makes it so."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import RUN_TASKS, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import ended_runs
from densitylab.backend.shared.store.oldest import oldest
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import EventRow, RunRow, TaskRow

EXPERIMENT = "experiment"  # kind of the events of an experiment; those of runs have the task's
MEASURED, FINISHED = "measured", "finished"  # status of a run, of an experiment
SETTLED_SECONDS = 5.0  # longer than any transaction that writes events
_SUBJECTS: dict[str, str] = {
    **dict.fromkeys(RUN_TASKS, "run"),
    TaskKind.EVALUATE: "evaluation",
    EXPERIMENT: EXPERIMENT,
}


def note(session: Session, *which: ColumnElement[bool]) -> None:
    """Insert an event with the present status of each selected task that belongs to a run."""
    at: Any = literal(now(session))
    changed = select(TaskRow.run_id, TaskRow.id, TaskRow.kind, TaskRow.status, TaskRow.error, at).where(
        TaskRow.run_id.is_not(None), TaskRow.kind.in_((*RUN_TASKS, TaskKind.EVALUATE)), *which
    )
    columns = ["run_id", "task_id", "kind", "status", "error", "at"]
    session.execute(insert(EventRow).from_select(columns, changed.order_by(TaskRow.id)))


def head(session: Session) -> int:
    """Return the id of the newest event; 0 if there is none."""
    return session.scalar(select(func.max(EventRow.id))) or 0


def since(session: Session, after: int, limit: int = 200) -> list[Row]:
    """Return the events after that id, in order, up to the first gap that can still be filled.

    PostgreSQL assigns ids before the commit: the transaction of a missing id may still be running, and a reader that
    skipped it would never see its event. So the list ends at a gap until the gap is old.
    """
    rows = session.execute(_WITH_EXPERIMENT.where(EventRow.id > after).order_by(EventRow.id).limit(limit)).all()
    at = now(session)
    settled = []
    for row in rows:
        # A time ahead of now was written before the clock was set back: it is no younger than that
        if row.id != after + 1 and abs(at - row.at) < SETTLED_SECONDS:
            break
        settled.append(row)
        after = row.id
    return settled


def by_id(session: Session, ids: Collection[int]) -> dict[int, contracts.Event]:
    """Return the events that exist, by id."""
    return {row.id: answer(row) for row in session.execute(_WITH_EXPERIMENT.where(EventRow.id.in_(ids)))}


_WITH_EXPERIMENT = select(*EventRow.__table__.columns, RunRow.experiment_id).join(RunRow, EventRow.run_id == RunRow.id)


def type_of(kind: str, status: str) -> contracts.EventType:
    """Return the type of an event from its columns. Raises ValueError."""
    return contracts.EventType(f"{_SUBJECTS.get(kind)}.{status}")


def answer(row: Row) -> contracts.Event:
    """Return the event of a row of `since`."""
    return contracts.Event(
        id=row.id,
        type=type_of(row.kind, row.status),
        experiment=row.experiment_id,
        run=row.run_id,
        task=row.task_id,
        error=row.error,
        at=to_datetime(row.at),
    )


def forget(session: Session, before: float, limit: int) -> int:
    """Delete events from before that time, the oldest first and at most `limit`; return their number."""
    old = oldest(session, EventRow, EventRow.at, before, limit)
    if old:
        ended_runs.keep(session, EventRow.id.in_(old))
        session.execute(delete(EventRow).where(EventRow.id.in_(old)))
    return len(old)
