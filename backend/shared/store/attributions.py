"""Maps and slices of log p of the interactive worker, in one cache with one budget."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import tasks
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import AttributionRow, TaskRow


def create(
    session: Session,
    request: dict[str, Any],
    content_hash: str,
    kind: TaskKind = TaskKind.ATTRIBUTE,
    owner: Caller | None = None,
) -> int:
    """Queue the computation of maps or slices; return their id."""
    task = tasks.create(session, kind, owner=owner)
    at = now(session)
    row = AttributionRow(
        task_id=task.id, content_hash=content_hash, request=request, panels=[], bytes=0, created_at=at, used_at=at
    )
    session.add(row)
    session.flush()
    return row.id


def reusable(session: Session, content_hash: str) -> int | None:
    """Return the id of a finished, running or queued result of the same content."""
    row = session.scalar(
        select(AttributionRow)
        .join(TaskRow, AttributionRow.task_id == TaskRow.id)
        .where(
            AttributionRow.content_hash == content_hash,
            TaskRow.status.in_((Status.QUEUED, Status.RUNNING, Status.SUCCEEDED)),
        )
        .order_by(AttributionRow.id.desc())
        .limit(1)
    )
    if row is None:
        return None
    row.used_at = now(session)
    return row.id


def finished(session: Session, limit: int) -> list[tuple[dict[str, Any], float]]:
    """Return (request, seconds) of the newest finished maps."""
    rows = session.execute(
        select(AttributionRow.request, AttributionRow.seconds)
        .join(TaskRow, AttributionRow.task_id == TaskRow.id)
        .where(AttributionRow.seconds.is_not(None), TaskRow.kind == TaskKind.ATTRIBUTE)
        .order_by(AttributionRow.id.desc())
        .limit(limit)
    )
    return [(request, seconds) for request, seconds in rows if seconds is not None]


def get(session: Session, attribution_id: int) -> contracts.Attribution | None:
    result = session.execute(
        select(AttributionRow, TaskRow)
        .join(TaskRow, AttributionRow.task_id == TaskRow.id)
        .where(AttributionRow.id == attribution_id, TaskRow.kind == TaskKind.ATTRIBUTE)
    ).first()
    return None if result is None else _answer(result[0], result[1])


def density(session: Session, density_id: int) -> contracts.Density | None:
    result = session.execute(
        select(AttributionRow, TaskRow)
        .join(TaskRow, AttributionRow.task_id == TaskRow.id)
        .where(AttributionRow.id == density_id, TaskRow.kind == TaskKind.DENSITY)
    ).first()
    if result is None:
        return None
    row, task = result
    slices = row.panels[0] if row.panels else {}
    return contracts.Density(
        id=row.id,
        status=Status(task.status),
        error=task.error,
        request=row.request,
        **slices,
        task=task.id,
        created_at=to_datetime(row.created_at),
    )


def of_task(session: Session, task_id: int) -> AttributionRow | None:
    return session.scalar(select(AttributionRow).where(AttributionRow.task_id == task_id))


def location(session: Session, attribution_id: int) -> str | None:
    """Return the location of the arrays; None until they are stored."""
    return session.scalar(select(AttributionRow.location).where(AttributionRow.id == attribution_id))


def store(
    session: Session,
    attribution_id: int,
    *,
    panels: Sequence[contracts.Panel],
    limit: float,
    data_hash: str,
    location: str,
    size: int,
    seconds: float,
) -> None:
    """Store the maps; call tasks.fence first."""
    keep(
        session,
        attribution_id,
        panels=[panel.model_dump() for panel in panels],
        limit=limit,
        data_hash=data_hash,
        location=location,
        size=size,
        seconds=seconds,
    )


def keep(
    session: Session,
    attribution_id: int,
    *,
    panels: list[dict[str, Any]],
    limit: float | None,
    data_hash: str,
    location: str,
    size: int,
    seconds: float,
) -> None:
    """Store a result; call tasks.fence first."""
    row = session.get_one(AttributionRow, attribution_id)
    row.panels, row.limit, row.data_hash = panels, limit, data_hash
    row.location, row.bytes, row.seconds = location, size, seconds


def draw_again(session: Session, attribution_id: int) -> None:
    """Queue maps again whose file can't be read."""
    row = session.get_one(AttributionRow, attribution_id)
    row.location, row.bytes = None, 0
    session.flush()
    tasks.retry(session, row.task_id, succeeded=True)


def over_budget(session: Session, budget: int) -> list[tuple[int, str | None]]:
    """Return (id, location) of the least recently used results to remove, so that the rest fits the budget in bytes."""
    total = session.scalar(select(func.sum(AttributionRow.bytes))) or 0
    surplus = []
    if total > budget:
        for row in session.scalars(
            select(AttributionRow).where(AttributionRow.bytes > 0).order_by(AttributionRow.used_at)
        ):
            if total <= budget:
                break
            surplus.append((row.id, row.location))
            total -= row.bytes
    return surplus


def remove(session: Session, attribution_id: int) -> None:
    """Remove the row with its task."""
    row = session.get(AttributionRow, attribution_id)
    if row is not None:
        task = session.get(TaskRow, row.task_id)
        session.delete(row)
        session.flush()
        if task is not None:
            session.delete(task)


def _answer(row: AttributionRow, task: TaskRow) -> contracts.Attribution:
    return contracts.Attribution(
        id=row.id,
        status=Status(task.status),
        error=task.error,
        **row.request,
        limit=row.limit,
        panels=row.panels,
        data_hash=row.data_hash,
        seconds=row.seconds,
        task=task.id,
        created_at=to_datetime(row.created_at),
    )
