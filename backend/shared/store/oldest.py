"""Delete the oldest rows of a table."""

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session


def oldest(session: Session, table: Any, at: InstrumentedAttribute[float], before: float, limit: int) -> list[int]:
    """Return those of the `limit` lowest ids of a table whose time `at` is before that. Ids increase with time, so no
    index of the time is needed."""
    rows = session.execute(select(table.id, at.label("at")).order_by(table.id).limit(limit))
    return [row.id for row in rows if row.at < before]


def delete_oldest(session: Session, table: Any, at: InstrumentedAttribute[float], before: float, limit: int) -> int:
    """Delete those rows; return their number."""
    old = oldest(session, table, at, before, limit)
    if old:
        session.execute(delete(table).where(table.id.in_(old)))
    return len(old)
