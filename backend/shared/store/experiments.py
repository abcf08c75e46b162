"""Experiments: the groups of runs launched together."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, cast, func, or_, select
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.contracts import Status
from backend.shared.database import now
from backend.shared.specs import Planned
from backend.shared.store import runs
from backend.shared.store.times import moment
from backend.shared.tables import ExperimentRow, RunRow, TaskRow


def create(
    session: Session, *, name: str, notes: str, tags: list[str], request: dict[str, Any], planned: Sequence[Planned],
    provenance: dict[str, Any], priority: contracts.Priority = contracts.Priority.NORMAL,
) -> ExperimentRow:
    """Inserts the experiment with its runs, their train tasks and their evaluations, all queued."""
    row = ExperimentRow(
        name=name, notes=notes, tags=tags, archived=False, deleting=False, request=request, created_at=now(session)
    )
    session.add(row)
    session.flush()
    runs.create(session, row.id, [item.spec for item in planned], provenance, priority)
    return row


def get(session: Session, experiment_id: int) -> contracts.Experiment | None:
    row = session.get(ExperimentRow, experiment_id)
    return None if row is None or row.deleting else _answers(session, [row])[0]


def listing(
    session: Session, *, before: int | None, limit: int, archived: bool | None = False, query: str | None = None,
) -> list[contracts.Experiment]:
    """Newest first, below the id `before`."""
    statement = select(ExperimentRow).where(ExperimentRow.deleting.is_(False))
    if before is not None:
        statement = statement.where(ExperimentRow.id < before)
    if archived is not None:
        statement = statement.where(ExperimentRow.archived.is_(archived))
    if query:
        statement = statement.where(or_(*(
            cast(column, Text).icontains(query, autoescape=True)
            for column in (ExperimentRow.name, ExperimentRow.notes, ExperimentRow.tags)
        )))
    rows = session.scalars(statement.order_by(ExperimentRow.id.desc()).limit(limit)).all()
    return _answers(session, rows)


def patch(session: Session, experiment_id: int, changes: dict[str, Any]) -> bool:
    if not lock(session, experiment_id):
        return False
    row = session.get_one(ExperimentRow, experiment_id)
    for field, value in changes.items():
        setattr(row, field, value)
    return True


def lock(session: Session, experiment_id: int) -> bool:
    """Holds the experiment until the end of a write transaction; says whether it exists."""
    row = session.get(ExperimentRow, experiment_id, with_for_update=True, populate_existing=True)
    return row is not None and not row.deleting


def add_runs(
    session: Session, experiment_id: int, request: dict[str, Any], planned: Sequence[contracts.RunSpec],
    provenance: dict[str, Any], priority: contracts.Priority,
) -> list[int]:
    """Inserts more runs into one that is locked, and keeps the request that asked for them."""
    if planned:
        row = session.get_one(ExperimentRow, experiment_id)
        row.additions = [*row.additions, request]
    return runs.create(session, experiment_id, planned, provenance, priority)


def run_ids(session: Session, experiment_id: int) -> list[int]:
    return list(session.scalars(
        select(RunRow.id).where(RunRow.experiment_id == experiment_id, RunRow.deleting.is_(False)).order_by(RunRow.id)
    ))


def mark_deleting(session: Session, experiment_id: int) -> None:
    row = session.get(ExperimentRow, experiment_id)
    if row is not None:
        row.deleting = True


def deleting(session: Session) -> list[int]:
    """Experiments whose deletion was begun and not finished."""
    return list(session.scalars(select(ExperimentRow.id).where(ExperimentRow.deleting.is_(True))))


def remove(session: Session, experiment_id: int) -> None:
    row = session.get(ExperimentRow, experiment_id)
    if row is not None:
        session.delete(row)


def _answers(session: Session, rows: Sequence[ExperimentRow]) -> list[contracts.Experiment]:
    chosen = RunRow.experiment_id.in_([row.id for row in rows]), RunRow.deleting.is_(False)
    # Summed up by the database: a page of experiments may have ten thousand runs
    groups: dict[int, dict[str, Any]] = {}
    for group in session.execute(
        select(
            RunRow.experiment_id, TaskRow.status, func.count().label("number"),
            func.sum(TaskRow.progress).label("progress"), func.count(TaskRow.eta_seconds).label("etas"),
            func.sum(TaskRow.eta_seconds).label("left"), func.max(TaskRow.eta_seconds).label("longest"),
            func.sum(TaskRow.started_at).label("started"), func.sum(TaskRow.finished_at).label("finished"),
            func.aggregate_strings(cast(RunRow.id, Text), ",").label("ids"),  # read as JSON far faster than as rows
        )
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == contracts.TaskKind.TRAIN))
        .where(*chosen).group_by(RunRow.experiment_id, TaskRow.status)
    ):
        groups.setdefault(group.experiment_id, {})[group.status] = group
    at = now(session)
    answers = []
    for row in rows:
        by_status = groups.get(row.id, {})
        belonging = sorted(json.loads(f"[{','.join(item.ids for item in by_status.values())}]"))
        answers.append(contracts.Experiment(
            id=row.id, name=row.name, notes=row.notes, tags=row.tags, archived=row.archived, runs=belonging,
            counts={status: by_status[status].number for status in Status if status in by_status},
            progress=sum(item.progress for item in by_status.values()) / len(belonging) if belonging else 0.0,
            eta_seconds=_eta(by_status, at), request=row.request, additions=row.additions,
            created_at=moment(row.created_at),
        ))
    return answers


def _eta(by_status: dict[str, Any], at: float) -> float | None:
    """Seconds until the last run is trained, by what its finished runs took, or else what its running ones will have
    taken; as many at once as now."""
    running, queued, succeeded = (
        by_status.get(status) for status in (Status.RUNNING, Status.QUEUED, Status.SUCCEEDED)
    )
    if (running is None and queued is None) or (running is not None and running.etas < running.number):
        return None
    left, longest, at_once = (0.0, 0.0, 1) if running is None else (running.left, running.longest, running.number)
    if queued is None:
        return float(max(left / at_once, longest))
    if succeeded is not None:
        typical = (succeeded.finished - succeeded.started) / succeeded.number
    elif running is not None:
        typical = at + (running.left - running.started) / running.number
    else:
        return None
    return float(max((left + queued.number * typical) / at_once, longest))


def total(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ExperimentRow)) or 0
