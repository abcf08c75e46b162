"""Curves: points by run, name and step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from backend.shared.contracts import MetricPoint, MetricSeries
from backend.shared.tables import MetricRow


@dataclass(frozen=True)
class Point:
    """One value of one curve at one step; `seconds` of training, pauses not counted."""

    name: str
    step: int
    epoch: float
    value: float
    seconds: float


def append(session: Session, run_id: int, points: Iterable[Point]) -> None:
    """Stores new points; call tasks.fence first. A point must not exist yet (see truncate)."""
    rows = [
        {"run_id": run_id, "name": point.name, "step": point.step, "epoch": point.epoch, "value": point.value,
         "seconds": point.seconds}
        for point in points
    ]
    if rows:
        session.execute(insert(MetricRow), rows)


def truncate(session: Session, run_id: int, after_step: int) -> None:
    """Forgets the points past a step, which a run that resumes from there writes again."""
    session.execute(delete(MetricRow).where(MetricRow.run_id == run_id, MetricRow.step > after_step))


def names(session: Session, run_id: int) -> list[str]:
    return list(session.scalars(
        select(MetricRow.name).where(MetricRow.run_id == run_id).distinct().order_by(MetricRow.name)
    ))


def read(
    session: Session, run_id: int, wanted: Sequence[str] | None = None, *, since: int | None = None,
    max_points: int | None = None,
) -> list[MetricSeries]:
    """Curves of a run, thinned to about `max_points` each.

    Args:
        wanted: names; None for all.
        since: only steps after this one, so a live view asks for what is new.
        max_points: keeps of every curve the first and the last point and evenly spaced ones between.
    """
    where = [MetricRow.run_id == run_id]
    if since is not None:
        where.append(MetricRow.step > since)
    series = []
    for name in names(session, run_id) if wanted is None else wanted:
        mine = [*where, MetricRow.name == name]
        total = session.scalar(select(func.count()).select_from(MetricRow).where(*mine)) or 0
        columns = (MetricRow.step, MetricRow.epoch, MetricRow.value, MetricRow.seconds)
        if max_points is not None and total > max_points:
            position = (func.row_number().over(order_by=MetricRow.step) - 1).label("position")
            ranked = select(*columns, position).where(*mine).subquery()
            stride = -(-total // max_points)
            statement = select(ranked.c.step, ranked.c.epoch, ranked.c.value, ranked.c.seconds).where(
                (ranked.c.position % stride == 0) | (ranked.c.position == total - 1)
            ).order_by(ranked.c.step)
        else:
            statement = select(*columns).where(*mine).order_by(MetricRow.step)
        points = [
            MetricPoint.model_construct(step=step, epoch=epoch, value=value, seconds=seconds)
            for step, epoch, value, seconds in session.execute(statement)
        ]
        series.append(MetricSeries.model_construct(run=run_id, name=name, points=points, total=total))
    return series
