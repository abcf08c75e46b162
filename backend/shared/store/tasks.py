"""The life of a task: create, claim, renew, fence, finish, release, cancel, reap.

A task goes `queued -> running -> succeeded | failed | cancelled`, and from running back to queued when its lease is
released or expires. A claim has a token; a write with an older token fails with LeaseLost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Executable, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from densitylab.backend.shared import contracts, tracing
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import Priority, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import events
from densitylab.backend.shared.store.completion import note_completion
from densitylab.backend.shared.store.times import elapsed, to_datetime
from densitylab.backend.shared.tables import LogRow, TaskRow

LEASE_SECONDS = 15.0
LOG_SECONDS = 24 * 3600.0  # of a run that is trained elsewhere and logged again
MAX_FRUITLESS_ATTEMPTS = 3
ACTIVE = (Status.QUEUED, Status.RUNNING)
_RANKS = {Priority.HIGH: 1, Priority.NORMAL: 0, Priority.LOW: -1}  # as stored; the highest goes first
RANKS = sorted(_RANKS.values(), reverse=True)
_PRIORITIES = {rank: priority for priority, rank in _RANKS.items()}


class LeaseLost(RuntimeError):
    """The task was claimed by another worker, ended, or deleted: this process must not write its result."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's claim on a task, with its token."""

    task_id: int
    kind: TaskKind
    run_id: int | None
    payload: dict[str, Any]
    token: int
    attempt: int


def create(
    session: Session,
    kind: TaskKind,
    *,
    run_id: int | None = None,
    after_task: int | None = None,
    payload: dict[str, Any] | None = None,
    owner: Caller | None = None,
) -> TaskRow:
    """Insert a queued task; the caller or the reconciler delivers it after the commit."""
    row = TaskRow(**queued(kind, now(session), run_id=run_id, after_task=after_task, payload=payload))
    if owner is not None:
        row.owner, row.owner_token = owner.name, owner.token
    session.add(row)
    session.flush()
    events.note(session, TaskRow.id == row.id)
    return row


def queued(
    kind: TaskKind,
    at: float,
    *,
    run_id: int | None = None,
    after_task: int | None = None,
    payload: dict[str, Any] | None = None,
    priority: Priority = Priority.NORMAL,
    expected_seconds: float | None = None,
) -> dict[str, Any]:
    """Return the columns of a new task."""
    return {
        "kind": kind,
        "run_id": run_id,
        "after_task": after_task,
        "payload": {**(payload or {}), **tracing.carried()},
        "status": Status.QUEUED,
        "stage": "queued",
        "progress": 0.0,
        "token": 0,
        "attempt": 0,
        "fruitless": 0,
        "delivery": 0,
        "delivered": False,
        "created_at": at,
        "expected_seconds": expected_seconds,
        "priority": _RANKS[priority],
    }


def get(session: Session, task_id: int) -> contracts.Task | None:
    row = session.get(TaskRow, task_id)
    return None if row is None else answer(row)


def answer(row: TaskRow) -> contracts.Task:
    return contracts.Task(
        id=row.id,
        kind=TaskKind(row.kind),
        run=row.run_id,
        status=Status(row.status),
        stage=stage_of(row),
        progress=row.progress,
        eta_seconds=row.eta_seconds,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested_at is not None,
        error=row.error,
        created_at=to_datetime(row.created_at),
        started_at=to_datetime(row.started_at),
        finished_at=to_datetime(row.finished_at),
    )


def stage_of(row: Any) -> str:
    """Return the current activity of a TaskRow, or of a row with its columns, in words."""
    if row.status == Status.QUEUED:
        if row.after_task is not None and not row.delivered:
            return "waits for the training to end"
        return row.stage if row.delivered else "waits for the broker"
    if row.status == Status.RUNNING and row.cancel_requested_at is not None:
        return "stopping"
    return row.stage if row.status == Status.RUNNING else ""


def priority_of(rank: int) -> Priority:
    """Return the priority of a stored rank."""
    return _PRIORITIES[rank]


# ---- what a worker does ---------------------------------------------------------------------------------------


def claim(session: Session, task_id: int, *, worker: str, lease_seconds: float) -> Claim | None:
    """Claim a queued task, or a running one whose lease has expired; return None if it is neither."""
    at = now(session)
    claimed = _changed(
        session,
        update(TaskRow).where(TaskRow.id == task_id, claimable(at)).values(**claimed_values(worker, at, lease_seconds)),
    )
    if claimed == 0:
        return None
    events.note(session, TaskRow.id == task_id)
    return claim_of(session.get_one(TaskRow, task_id, populate_existing=True))


def claimable(at: float) -> ColumnElement[bool]:
    """Condition that a task can be claimed at that time: it is queued, or running with an expired lease."""
    return and_(
        TaskRow.cancel_requested_at.is_(None),
        or_(TaskRow.status == Status.QUEUED, and_(TaskRow.status == Status.RUNNING, _expired(at))),
    )


def claimed_values(worker: str, at: float, lease_seconds: float) -> dict[str, Any]:
    """Return the new values of the columns of a task that a worker claims."""
    return {
        "status": Status.RUNNING,
        "stage": "starting",
        "token": TaskRow.token + 1,
        "attempt": TaskRow.attempt + 1,
        "fruitless": TaskRow.fruitless + 1,
        "worker": worker,
        "lease_until": at + lease_seconds,
        "delivered": False,
        "started_at": func.coalesce(TaskRow.started_at, at),
        "error": None,
        "memory_bytes": None,
        "device_memory_bytes": None,
    }


def claim_of(row: TaskRow) -> Claim:
    """Return the claim on a task that has just been claimed."""
    return Claim(
        task_id=row.id,
        kind=TaskKind(row.kind),
        run_id=row.run_id,
        payload=row.payload,
        token=row.token,
        attempt=row.attempt,
    )


def renew(
    session: Session,
    claim: Claim,
    *,
    lease_seconds: float,
    stage: str | None = None,
    progress: float | None = None,
    eta_seconds: float | None = None,
    clear_eta: bool = False,
    memory_bytes: int | None = None,
    device_memory_bytes: int | None = None,
) -> bool:
    """Extend the lease, record progress and memory, and return whether a cancel was requested. Raises LeaseLost."""
    values: dict[str, Any] = {
        "lease_until": now(session) + lease_seconds,
        "memory_bytes": memory_bytes,
        "device_memory_bytes": device_memory_bytes,
    }
    if stage is not None:
        values["stage"] = stage
    if progress is not None:
        values["progress"] = progress
    if eta_seconds is not None or clear_eta:
        values["eta_seconds"] = eta_seconds
    _claimed_update(session, claim, values)
    return (
        session.execute(select(TaskRow.cancel_requested_at).where(TaskRow.id == claim.task_id)).scalar_one() is not None
    )


def fence(session: Session, claim: Claim) -> None:
    """Lock the task for this transaction if the claim is still valid; call it before any write. Raises LeaseLost."""
    _claimed_update(session, claim, {"token": claim.token})


def advanced(session: Session, claim: Claim) -> None:
    """Record that a checkpoint advanced: the attempts before it no longer count as fruitless. Raises LeaseLost."""
    _claimed_update(session, claim, {"fruitless": 0})


def finish(session: Session, claim: Claim, status: Status, error: str | None = None) -> None:
    """End the task; if it did not succeed, cancel the tasks that follow it. Raises LeaseLost."""
    _claimed_update(
        session,
        claim,
        {
            "status": status,
            "error": error,
            "finished_at": now(session),
            "lease_until": None,
            "eta_seconds": None,
            "stage": "",
            **({"progress": 1.0} if status == Status.SUCCEEDED else {}),
        },
    )
    events.note(session, TaskRow.id == claim.task_id)
    if status != Status.SUCCEEDED:
        _cancel_followers(session, claim.task_id)
    note_completion(session, claim.task_id)


def release(session: Session, claim: Claim) -> None:
    """Release the lease for another worker; the attempt does not count as fruitless. Raises LeaseLost."""
    _claimed_update(
        session,
        claim,
        {
            "status": Status.QUEUED,
            "stage": "queued",
            "lease_until": None,
            "delivered": False,
            "worker": None,
            "fruitless": case((TaskRow.fruitless > 0, TaskRow.fruitless - 1), else_=0),
            "eta_seconds": None,
        },
    )
    events.note(session, TaskRow.id == claim.task_id)


def _claimed_update(session: Session, claim: Claim, values: dict[str, Any]) -> None:
    changed = _changed(
        session,
        update(TaskRow)
        .where(TaskRow.id == claim.task_id, TaskRow.token == claim.token, TaskRow.status == Status.RUNNING)
        .values(**values),
    )
    if changed == 0:
        raise LeaseLost(f"task {claim.task_id} is no longer claimed with token {claim.token}")


# ---- cancel, retry, reap --------------------------------------------------------------------------------------


def request_cancel(session: Session, *task_ids: int) -> None:
    """Cancel queued tasks of one run, or ask running ones to stop; those that have ended are left as they are."""
    at = now(session)
    ended = None
    for task_id in task_ids:
        cancelled = _changed(
            session,
            update(TaskRow)
            .where(TaskRow.id == task_id, TaskRow.status == Status.QUEUED)
            .values(status=Status.CANCELLED, finished_at=at, cancel_requested_at=at, stage=""),
        )
        if cancelled:
            events.note(session, TaskRow.id == task_id)
            _cancel_followers(session, task_id)
            ended = task_id
        else:
            session.execute(
                update(TaskRow)
                .where(TaskRow.id == task_id, TaskRow.status == Status.RUNNING, TaskRow.cancel_requested_at.is_(None))
                .values(cancel_requested_at=at)
            )
    if ended is not None:  # after all: it locks the run, which a worker locks after its task
        note_completion(session, ended)


def retry(session: Session, task_id: int, *, succeeded: bool = False) -> bool:
    """Queue a failed or cancelled task again, with the followers that were cancelled with it; it continues from its
    checkpoint. With `succeeded`, also a task that succeeded, whose result is out of date. The task of a run that is
    trained elsewhere has no worker to wait for: it runs again, for as long as it may be silent."""
    ended = (Status.FAILED, Status.CANCELLED, *((Status.SUCCEEDED,) if succeeded else ()))
    revived = {
        "status": Status.QUEUED,
        "stage": "queued",
        "error": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "fruitless": 0,
        "delivered": False,
        "lease_until": None,
    }
    leading = aliased(TaskRow)
    waits = TaskRow.after_task.in_(select(leading.id).where(leading.status.in_(ACTIVE)))
    changed = _changed(
        session,
        update(TaskRow)
        .where(TaskRow.id == task_id, TaskRow.status.in_(ended))
        # A training that has ended without success will not deliver its followers
        .values(**revived, after_task=case((waits, TaskRow.after_task), else_=None)),
    )
    session.execute(
        update(TaskRow)
        .where(TaskRow.id == task_id, TaskRow.kind == TaskKind.LOG, TaskRow.status == Status.QUEUED)
        .values(status=Status.RUNNING, stage="", lease_until=now(session) + LOG_SECONDS)
    )
    if changed == 0:
        return False
    cancelled = select(TaskRow.id).where(TaskRow.after_task == task_id, TaskRow.status == Status.CANCELLED)
    followers = session.scalars(cancelled.with_for_update()).all()
    session.execute(update(TaskRow).where(TaskRow.id.in_(followers)).values(**revived))
    events.note(session, TaskRow.id.in_([task_id, *followers]))
    return True


def _expired(at: float) -> ColumnElement[bool]:
    """Condition that a lease is over, or lies further ahead than a lease can: the clock was set back since."""
    return ~TaskRow.lease_until.between(at, at + 2 * LEASE_SECONDS)


def reap(session: Session) -> list[int]:
    """Reclaim tasks whose lease has expired, and return their ids: queued again, cancelled if that was requested, or
    failed after three attempts that did not advance a checkpoint."""
    at = now(session)
    expired = session.scalars(
        select(TaskRow)
        .where(TaskRow.status == Status.RUNNING, TaskRow.kind != TaskKind.LOG, _expired(at))
        .order_by(TaskRow.id)
        .with_for_update()
    ).all()
    for row in expired:
        row.lease_until, row.eta_seconds, row.delivered, row.worker = None, None, False, None
        if row.cancel_requested_at is not None:
            end(session, row, Status.CANCELLED, None, at)
        elif row.fruitless >= MAX_FRUITLESS_ATTEMPTS:
            end(session, row, Status.FAILED, _crash_message(session, row), at)
        else:
            row.status, row.stage = Status.QUEUED, "queued"
            session.flush()
            events.note(session, TaskRow.id == row.id)
    return [row.id for row in expired]


def overdue_cancels(session: Session, after_seconds: float) -> list[tuple[int, int, str | None]]:
    """Return (id, delivery, worker) of running tasks whose cancel was requested longer ago than that."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.delivery, TaskRow.worker).where(
            TaskRow.status == Status.RUNNING, elapsed(TaskRow.cancel_requested_at, after_seconds, now(session))
        )
    )
    return [(row.id, row.delivery, row.worker) for row in rows]


def end_cancelled(session: Session, task_id: int) -> None:
    """Cancel a running task whose process is killed, and invalidate its token, so that the process cannot write."""
    row = session.get(TaskRow, task_id, with_for_update=True)
    if row is not None and row.status == Status.RUNNING:
        row.token += 1
        end(session, row, Status.CANCELLED, None, now(session))


def counts(session: Session) -> dict[Status, int]:
    """Return the number of queued and running tasks."""
    rows = session.execute(
        select(TaskRow.status, func.count()).where(TaskRow.status.in_(ACTIVE)).group_by(TaskRow.status)
    )
    return {Status(status): number for status, number in rows}


def active(session: Session, run_id: int) -> bool:
    """Return whether any task of the run is queued or running."""
    return (
        session.scalar(
            select(func.count()).select_from(TaskRow).where(TaskRow.run_id == run_id, TaskRow.status.in_(ACTIVE))
        )
        != 0
    )


def active_of_run(session: Session, run_id: int) -> list[int]:
    """Return the ids of the run's queued and running tasks, its training first."""
    return list(
        session.scalars(
            select(TaskRow.id).where(TaskRow.run_id == run_id, TaskRow.status.in_(ACTIVE)).order_by(TaskRow.id)
        )
    )


def unsuccessful_of_run(session: Session, run_id: int) -> list[int]:
    """Return the ids of the run's failed and cancelled tasks, its training first."""
    return list(
        session.scalars(
            select(TaskRow.id)
            .where(TaskRow.run_id == run_id, TaskRow.status.in_((Status.FAILED, Status.CANCELLED)))
            .order_by(TaskRow.id)
        )
    )


def forget_ended(session: Session, before: float, limit: int, *, kind: TaskKind, statuses: Sequence[Status]) -> int:
    """Delete tasks of a kind that belong to no run and ended so before that time, at most `limit`; return their
    number."""
    old = session.scalars(
        select(TaskRow.id)
        .where(
            TaskRow.status.in_(statuses), TaskRow.kind == kind, TaskRow.run_id.is_(None), TaskRow.finished_at < before
        )
        .limit(limit)
    ).all()
    return _changed(session, delete(TaskRow).where(TaskRow.id.in_(old)))


def _changed(session: Session, statement: Executable) -> int:
    """Execute a statement and return the number of changed rows."""
    return cast(CursorResult[Any], session.execute(statement)).rowcount


def end(session: Session, row: TaskRow, status: Status, error: str | None, at: float) -> None:
    """End a task whose row is locked; if it did not succeed, cancel the tasks that follow it."""
    row.status, row.error, row.finished_at, row.stage, row.lease_until = status, error, at, "", None
    session.flush()
    events.note(session, TaskRow.id == row.id)
    if status != Status.SUCCEEDED:
        _cancel_followers(session, row.id)
    note_completion(session, row.id)


def _cancel_followers(session: Session, task_id: int) -> None:
    at = now(session)
    session.execute(
        update(TaskRow)
        .where(TaskRow.after_task == task_id, TaskRow.status == Status.QUEUED)
        .values(status=Status.CANCELLED, finished_at=at, stage="")
    )
    events.note(session, TaskRow.after_task == task_id, TaskRow.finished_at == at)


def _crash_message(session: Session, row: TaskRow) -> str:
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
