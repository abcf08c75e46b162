"""Trainings of one experiment that a worker claims together with its own, to train them as one."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import events
from densitylab.backend.shared.store.id_array import fixed_ids, in_id_array
from densitylab.backend.shared.store.tasks import (
    LEASE_SECONDS,
    MAX_FRUITLESS_ATTEMPTS,
    Claim,
    claim_of,
    claimable,
    claimed_values,
)
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import RunRow, TaskRow


def siblings(session: Session, task_id: int, limit: int) -> dict[int, int]:
    """Return the tasks by run, in the order of the queue, of further trainings that can be claimed now: of the same
    experiment, network, data set and regularizer as a claimed one. A training whose last two attempts came to nothing
    is left alone: its process may have died for want of memory."""
    task = session.get_one(TaskRow, task_id)
    if task.run_id is None or task.fruitless >= MAX_FRUITLESS_ATTEMPTS:
        return {}
    run = session.get_one(RunRow, task.run_id)
    rows = session.execute(
        select(TaskRow.run_id, TaskRow.id)
        .join(RunRow, TaskRow.run_id == RunRow.id)
        .where(
            RunRow.experiment_id == run.experiment_id,
            PRESENT,
            RunRow.id != run.id,
            RunRow.model == run.model,
            RunRow.dataset == run.dataset,
            RunRow.regularizer == run.regularizer,
            TaskRow.kind == TaskKind.TRAIN,
            TaskRow.after_task.is_(None),
            TaskRow.fruitless < MAX_FRUITLESS_ATTEMPTS - 1,
            claimable(now(session)),
        )
        .order_by(TaskRow.id)
        .limit(limit)
    )
    return {row.run_id: row.id for row in rows}


def claim(session: Session, task_ids: Sequence[int], *, worker: str, lease_seconds: float) -> list[Claim]:
    """Claim those tasks that `tasks.claim` would claim, in one statement; return the claims in the order of the ids."""
    at = now(session)
    # Rows that another transaction has locked are about to be claimed by it
    free = (
        select(TaskRow.id)
        .where(in_id_array(TaskRow.id, fixed_ids(task_ids)), claimable(at))
        .with_for_update(key_share=True, skip_locked=True)
    )
    claimed = session.scalars(
        update(TaskRow)
        .where(TaskRow.id.in_(free))
        .values(**claimed_values(worker, at, lease_seconds))
        .returning(TaskRow)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).all()
    events.note(session, TaskRow.id.in_([row.id for row in claimed]))
    return [claim_of(row) for row in sorted(claimed, key=lambda row: row.id)]


def fading(session: Session, run_ids: Sequence[int]) -> bool:
    """Return whether a training of these runs is claimed by a worker that no longer renews its lease."""
    rows = session.execute(
        select(TaskRow.id)
        .where(
            in_id_array(TaskRow.run_id, fixed_ids(run_ids)),
            TaskRow.kind == TaskKind.TRAIN,
            TaskRow.status == Status.RUNNING,
            TaskRow.lease_until < now(session) + LEASE_SECONDS / 2,
            TaskRow.lease_until > now(session),
        )
        .limit(1)
    )
    return rows.first() is not None
