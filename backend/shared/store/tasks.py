"""The life of work: create, claim, renew, fence, finish, release, cancel, reap. All exist once, here.

A task goes `queued -> running -> succeeded | failed | cancelled`, and from running back to queued when its lease is
given back or expires. Whoever claims it gets a token; a write under an older token fails with LeaseLost.
"""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, Executable, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.contracts import Priority, Status, TaskKind
from backend.shared.database import now
from backend.shared.store import events
from backend.shared.store.times import moment
from backend.shared.tables import LogRow, TaskRow

MAX_FRUITLESS_ATTEMPTS = 3
ACTIVE = (Status.QUEUED, Status.RUNNING)
_RANKS = {Priority.HIGH: 1, Priority.NORMAL: 0, Priority.LOW: -1}  # as stored; the highest goes first
_PRIORITIES = {rank: priority for priority, rank in _RANKS.items()}


class LeaseLost(RuntimeError):
    """The task was given to another worker, ended, or deleted: what this process computes no longer counts."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's hold on a task."""

    task_id: int
    kind: TaskKind
    run_id: int | None
    payload: dict[str, Any]
    token: int
    attempt: int


def create(
    session: Session, kind: TaskKind, *, run_id: int | None = None, after_task: int | None = None,
    payload: dict[str, Any] | None = None,
) -> TaskRow:
    """Inserts a queued task; the caller delivers it after the commit, or the reconciler does."""
    row = TaskRow(**queued(kind, now(session), run_id=run_id, after_task=after_task, payload=payload))
    session.add(row)
    session.flush()
    events.note(session, TaskRow.id == row.id)
    return row


def queued(
    kind: TaskKind, at: float, *, run_id: int | None = None, after_task: int | None = None,
    payload: dict[str, Any] | None = None, priority: Priority = Priority.NORMAL,
) -> dict[str, Any]:
    """The columns of a new task."""
    return {
        "kind": kind, "run_id": run_id, "after_task": after_task, "payload": payload or {}, "status": Status.QUEUED,
        "stage": "queued", "progress": 0.0, "token": 0, "attempt": 0, "fruitless": 0, "delivery": 0,
        "delivered": False, "created_at": at, "priority": _RANKS[priority],
    }


def get(session: Session, task_id: int) -> contracts.Task | None:
    row = session.get(TaskRow, task_id)
    return None if row is None else answer(row)


def answer(row: TaskRow) -> contracts.Task:
    return contracts.Task(
        id=row.id, kind=TaskKind(row.kind), run=row.run_id, status=Status(row.status), stage=stage_of(row),
        progress=row.progress, eta_seconds=row.eta_seconds, attempt=row.attempt,
        cancel_requested=row.cancel_requested_at is not None, error=row.error, created_at=moment(row.created_at),
        started_at=moment(row.started_at), finished_at=moment(row.finished_at),
    )


def stage_of(row: Any) -> str:
    """What the task of this TaskRow, or of a row of its columns, does just now, in words."""
    if row.status == Status.QUEUED:
        if row.after_task is not None and not row.delivered:
            return "waits for the training to end"
        return row.stage if row.delivered else "waits for the broker"
    if row.status == Status.RUNNING and row.cancel_requested_at is not None:
        return "stopping"
    return row.stage if row.status == Status.RUNNING else ""


def priority_of(rank: int) -> Priority:
    """What the stored rank means."""
    return _PRIORITIES[rank]


# ---- what a worker does ---------------------------------------------------------------------------------------


def claim(session: Session, task_id: int, *, worker: str, lease_seconds: float) -> Claim | None:
    """Takes a queued task, or a running one whose lease has expired; None where there is nothing to take."""
    at = now(session)
    taken = _changed(
        session,
        update(TaskRow)
        .where(
            TaskRow.id == task_id, TaskRow.cancel_requested_at.is_(None),
            or_(
                TaskRow.status == Status.QUEUED,
                and_(TaskRow.status == Status.RUNNING, TaskRow.lease_until < at),
            ),
        )
        .values(
            status=Status.RUNNING, stage="starting", token=TaskRow.token + 1, attempt=TaskRow.attempt + 1,
            fruitless=TaskRow.fruitless + 1, worker=worker, lease_until=at + lease_seconds, delivered=False,
            started_at=func.coalesce(TaskRow.started_at, at), error=None, memory_bytes=None,
            device_memory_bytes=None,
        )
    )
    if taken == 0:
        return None
    events.note(session, TaskRow.id == task_id)
    row = session.get_one(TaskRow, task_id, populate_existing=True)
    return Claim(task_id=row.id, kind=TaskKind(row.kind), run_id=row.run_id, payload=row.payload, token=row.token,
                 attempt=row.attempt)


def renew(
    session: Session, held: Claim, *, lease_seconds: float, stage: str | None = None, progress: float | None = None,
    eta_seconds: float | None = None, clear_eta: bool = False, memory_bytes: int | None = None,
    device_memory_bytes: int | None = None,
) -> bool:
    """Extends the lease, notes progress and memory, and says whether a cancel was requested. Raises LeaseLost."""
    values: dict[str, Any] = {
        "lease_until": now(session) + lease_seconds, "memory_bytes": memory_bytes,
        "device_memory_bytes": device_memory_bytes,
    }
    if stage is not None:
        values["stage"] = stage
    if progress is not None:
        values["progress"] = progress
    if eta_seconds is not None or clear_eta:
        values["eta_seconds"] = eta_seconds
    _held_update(session, held, values)
    return session.execute(
        select(TaskRow.cancel_requested_at).where(TaskRow.id == held.task_id)
    ).scalar_one() is not None


def fence(session: Session, held: Claim) -> None:
    """Locks the task for this transaction if the claim still holds; call it before any write. Raises LeaseLost."""
    _held_update(session, held, {"token": held.token})


def advanced(session: Session, held: Claim) -> None:
    """A checkpoint advanced: the attempts before it no longer count as fruitless. Raises LeaseLost."""
    _held_update(session, held, {"fruitless": 0})


def finish(session: Session, held: Claim, status: Status, error: str | None = None) -> None:
    """Ends the task. Tasks that come after one that did not succeed are cancelled with it. Raises LeaseLost."""
    _held_update(session, held, {
        "status": status, "error": error, "finished_at": now(session), "lease_until": None, "eta_seconds": None,
        "stage": "", **({"progress": 1.0} if status == Status.SUCCEEDED else {}),
    })
    events.note(session, TaskRow.id == held.task_id)
    if status != Status.SUCCEEDED:
        _cancel_followers(session, held.task_id)


def release(session: Session, held: Claim) -> None:
    """Gives the lease back unharmed, so that another worker goes on. Raises LeaseLost."""
    _held_update(session, held, {
        "status": Status.QUEUED, "stage": "queued", "lease_until": None, "delivered": False, "worker": None,
        "fruitless": case((TaskRow.fruitless > 0, TaskRow.fruitless - 1), else_=0), "eta_seconds": None,
    })
    events.note(session, TaskRow.id == held.task_id)


def _held_update(session: Session, held: Claim, values: dict[str, Any]) -> None:
    changed = _changed(
        session,
        update(TaskRow)
        .where(TaskRow.id == held.task_id, TaskRow.token == held.token, TaskRow.status == Status.RUNNING)
        .values(**values)
    )
    if changed == 0:
        raise LeaseLost(f"task {held.task_id} is no longer held under token {held.token}")


# ---- cancel, retry, reap --------------------------------------------------------------------------------------


def request_cancel(session: Session, task_id: int) -> contracts.Task | None:
    """Cancels a queued task at once, asks a running one to stop; one that has ended stays as it is."""
    at = now(session)
    cancelled = _changed(
        session,
        update(TaskRow).where(TaskRow.id == task_id, TaskRow.status == Status.QUEUED)
        .values(status=Status.CANCELLED, finished_at=at, cancel_requested_at=at, stage="")
    )
    if cancelled:
        events.note(session, TaskRow.id == task_id)
        _cancel_followers(session, task_id)
    else:
        session.execute(
            update(TaskRow)
            .where(TaskRow.id == task_id, TaskRow.status == Status.RUNNING, TaskRow.cancel_requested_at.is_(None))
            .values(cancel_requested_at=at)
        )
    row = session.get(TaskRow, task_id, populate_existing=True)
    return None if row is None else answer(row)


def retry(session: Session, task_id: int, *, succeeded: bool = False) -> bool:
    """Queues a failed or cancelled task again, with the followers cancelled with it; it goes on from its checkpoint.
    With `succeeded`, one whose result is out of date too."""
    ended = (Status.FAILED, Status.CANCELLED, *((Status.SUCCEEDED,) if succeeded else ()))
    revived = {
        "status": Status.QUEUED, "stage": "queued", "error": None, "finished_at": None, "cancel_requested_at": None,
        "fruitless": 0, "delivered": False, "lease_until": None,
    }
    changed = _changed(
        session,
        update(TaskRow)
        .where(TaskRow.id == task_id, TaskRow.status.in_(ended)).values(**revived)
    )
    if changed == 0:
        return False
    session.execute(
        update(TaskRow).where(TaskRow.after_task == task_id, TaskRow.status == Status.CANCELLED).values(**revived)
    )
    events.note(session, or_(TaskRow.id == task_id, TaskRow.after_task == task_id), TaskRow.status == Status.QUEUED)
    return True


def reap(session: Session) -> list[int]:
    """Takes back tasks whose lease has expired: queued again, cancelled if that was asked, or failed after three
    attempts that did not advance a checkpoint. Returns their ids."""
    at = now(session)
    expired = session.scalars(
        select(TaskRow).where(TaskRow.status == Status.RUNNING, TaskRow.lease_until < at)
        .order_by(TaskRow.id).with_for_update()
    ).all()
    for row in expired:
        row.lease_until, row.eta_seconds, row.delivered, row.worker = None, None, False, None
        if row.cancel_requested_at is not None:
            _end(session, row, Status.CANCELLED, None, at)
        elif row.fruitless >= MAX_FRUITLESS_ATTEMPTS:
            _end(session, row, Status.FAILED, _last_words(session, row), at)
        else:
            row.status, row.stage = Status.QUEUED, "queued"
            session.flush()
            events.note(session, TaskRow.id == row.id)
    return [row.id for row in expired]


def overdue_cancels(session: Session, after_seconds: float) -> list[tuple[int, int, str | None]]:
    """(id, delivery, worker) of running tasks that were asked to cancel longer ago than that and go on."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.delivery, TaskRow.worker).where(
            TaskRow.status == Status.RUNNING, TaskRow.cancel_requested_at < now(session) - after_seconds
        )
    )
    return [(row.id, row.delivery, row.worker) for row in rows]


def end_cancelled(session: Session, task_id: int) -> None:
    """After a hard stop: the task is cancelled, and whatever still runs under its token can no longer write."""
    row = session.get(TaskRow, task_id, with_for_update=True)
    if row is not None and row.status == Status.RUNNING:
        row.token += 1
        _end(session, row, Status.CANCELLED, None, now(session))


def counts(session: Session) -> dict[Status, int]:
    """Number of queued and running tasks."""
    rows = session.execute(
        select(TaskRow.status, func.count()).where(TaskRow.status.in_(ACTIVE)).group_by(TaskRow.status)
    )
    return {Status(status): number for status, number in rows}


def active(session: Session, run_id: int) -> bool:
    """Whether any task of the run is running, or its training is still queued."""
    return session.scalar(
        select(func.count()).select_from(TaskRow)
        .where(TaskRow.run_id == run_id, TaskRow.status.in_(ACTIVE))
    ) != 0


def active_of_run(session: Session, run_id: int) -> list[int]:
    """Ids of the run's queued and running tasks, its training first."""
    return list(session.scalars(
        select(TaskRow.id).where(TaskRow.run_id == run_id, TaskRow.status.in_(ACTIVE)).order_by(TaskRow.id)
    ))


def unsuccessful_of_run(session: Session, run_id: int) -> list[int]:
    """Ids of the run's failed and cancelled tasks, its training first."""
    return list(session.scalars(
        select(TaskRow.id).where(TaskRow.run_id == run_id, TaskRow.status.in_((Status.FAILED, Status.CANCELLED)))
        .order_by(TaskRow.id)
    ))


def forget_finished(session: Session, kind: TaskKind, before: float) -> int:
    """Removes finished tasks of a kind that belong to no run and ended before that time."""
    return _changed(
        session, delete(TaskRow).where(TaskRow.kind == kind, TaskRow.run_id.is_(None), TaskRow.finished_at < before)
    )


def _changed(session: Session, statement: Executable) -> int:
    """Executes and says how many rows it changed."""
    return cast(CursorResult[Any], session.execute(statement)).rowcount


def _end(session: Session, row: TaskRow, status: Status, error: str | None, at: float) -> None:
    row.status, row.error, row.finished_at, row.stage, row.lease_until = status, error, at, "", None
    session.flush()
    events.note(session, TaskRow.id == row.id)
    if status != Status.SUCCEEDED:
        _cancel_followers(session, row.id)


def _cancel_followers(session: Session, task_id: int) -> None:
    at = now(session)
    session.execute(
        update(TaskRow).where(TaskRow.after_task == task_id, TaskRow.status == Status.QUEUED)
        .values(status=Status.CANCELLED, finished_at=at, stage="")
    )
    events.note(session, TaskRow.after_task == task_id, TaskRow.finished_at == at)


def _last_words(session: Session, row: TaskRow) -> str:
    message = (
        f"The worker process died {row.fruitless} times in a row without advancing a checkpoint "
        "(often: out of memory). Try a smaller batch or model."
    )
    if row.run_id is None:
        return message
    lines = session.scalars(
        select(LogRow.text).where(LogRow.run_id == row.run_id).order_by(LogRow.id.desc()).limit(5)
    ).all()
    return message + (" Last log lines: " + " | ".join(reversed(lines)) if lines else "")
