"""Experiments: the groups of runs launched together."""

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
    row = session.get(ExperimentRow, experiment_id)
    if row is None or row.deleting:
        return False
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
    ids = [row.id for row in rows]
    members: dict[int, list[Any]] = {number: [] for number in ids}
    for member in session.execute(
        select(RunRow.experiment_id, RunRow.id, TaskRow.status, TaskRow.progress, TaskRow.eta_seconds,
               TaskRow.started_at, TaskRow.finished_at)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == contracts.TaskKind.TRAIN))
        .where(RunRow.experiment_id.in_(ids), RunRow.deleting.is_(False)).order_by(RunRow.id)
    ):
        members[member.experiment_id].append(member)
    at = now(session)
    answers = []
    for row in rows:
        belonging = members[row.id]
        counts = {status: sum(item.status == status for item in belonging) for status in Status}
        answers.append(contracts.Experiment(
            id=row.id, name=row.name, notes=row.notes, tags=row.tags, archived=row.archived,
            runs=[item.id for item in belonging], counts={key: number for key, number in counts.items() if number},
            progress=sum(item.progress for item in belonging) / len(belonging) if belonging else 0.0,
            eta_seconds=_eta(belonging, at), request=row.request, additions=row.additions,
            created_at=moment(row.created_at),
        ))
    return answers


def _eta(belonging: Sequence[Any], at: float) -> float | None:
    """Seconds until the last run is trained, by what its finished runs took, or else what its running ones will have
    taken; as many at once as now."""
    running = [item for item in belonging if item.status == Status.RUNNING]
    queued = sum(item.status == Status.QUEUED for item in belonging)
    left = [item.eta_seconds for item in running if item.eta_seconds is not None]
    if (not running and not queued) or len(left) < len(running):
        return None
    finished = [item.finished_at - item.started_at for item in belonging if item.status == Status.SUCCEEDED]
    took = finished or [at - item.started_at + item.eta_seconds for item in running]
    if queued and not took:
        return None
    typical = sum(took) / len(took) if queued else 0.0
    return max([(sum(left) + queued * typical) / max(1, len(running)), *left])


def total(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ExperimentRow)) or 0
