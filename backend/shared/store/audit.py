"""Lines of the audit log: caller, change, time, request."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.oldest import delete_oldest
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import AuditRow


def append(session: Session, *, caller: Caller, method: str, path: str, status: int, request_id: str) -> int:
    """Insert a line; return its id."""
    row = AuditRow(
        at=now(session),
        caller=caller.name,
        token=caller.token,
        method=method,
        path=path[:500],
        status=status,
        location=None,
        request_id=request_id,
    )
    session.add(row)
    session.flush()
    return row.id


def complete(session: Session, number: int, *, status: int, location: str | None) -> None:
    """Add the response's status and Location to a line."""
    session.execute(
        update(AuditRow)
        .where(AuditRow.id == number)
        .values(status=status, location=None if location is None else location[:500])
    )


def listing(session: Session, *, before: int | None, limit: int, caller: str | None) -> list[contracts.AuditLine]:
    """Return lines, newest first: before the line with this id, of one caller if given."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditRow.id < before)
    if caller is not None:
        statement = statement.where(AuditRow.caller == caller)
    return [
        contracts.AuditLine(
            id=row.id,
            at=to_datetime(row.at),
            caller=row.caller,
            token=row.token,
            method=row.method,
            path=row.path,
            status=row.status,
            location=row.location,
            request_id=row.request_id,
        )
        for row in session.scalars(statement)
    ]


def forget(session: Session, before: float, limit: int) -> int:
    """Delete lines from before that time, the oldest first and at most `limit`; return their number."""
    return delete_oldest(session, AuditRow, AuditRow.at, before, limit)
