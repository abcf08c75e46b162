"""Lines of runs' logs."""

from collections.abc import Iterable

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import LogLine
from densitylab.backend.shared.store.oldest import delete_oldest
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import LogRow

_MAX_LINE = 4000


def append(session: Session, run_id: int, lines: Iterable[tuple[float, str, str]]) -> None:
    """Store (time, level, text) lines; long ones are truncated."""
    rows = [
        {
            "run_id": run_id,
            "at": at,
            "level": level,
            "text": text[:_MAX_LINE].replace("\x00", "").encode("utf-8", "replace").decode(),
        }
        for at, level, text in lines
    ]
    if rows:
        session.execute(insert(LogRow), rows)


def read(
    session: Session,
    run_id: int,
    *,
    after: int | None = None,
    query: str | None = None,
    limit: int = 200,
) -> list[LogLine]:
    """Return lines in order: those after the id `after`, or the last `limit` ones."""
    statement = select(LogRow).where(LogRow.run_id == run_id)
    if query:
        statement = statement.where(LogRow.text.icontains(query, autoescape=True))
    if after is not None:
        rows = session.scalars(statement.where(LogRow.id > after).order_by(LogRow.id).limit(limit)).all()
    else:
        rows = session.scalars(statement.order_by(LogRow.id.desc()).limit(limit)).all()[::-1]
    return [LogLine(id=row.id, at=to_datetime(row.at), level=row.level, text=row.text) for row in rows]


def forget(session: Session, before: float, limit: int) -> int:
    """Delete lines from before that time, the oldest first and at most `limit`; return their number."""
    return delete_oldest(session, LogRow, LogRow.at, before, limit)
