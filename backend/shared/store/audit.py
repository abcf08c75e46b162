"""The lines of the audit: who changed what, when, in which request."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.database import now
from backend.shared.store.times import moment
from backend.shared.tables import AuditRow


def append(session: Session, *, caller: str, method: str, path: str, status: int, request_id: str) -> int:
    """The line's number."""
    row = AuditRow(at=now(session), caller=caller, method=method, path=path[:500], status=status, location=None,
                   request_id=request_id)
    session.add(row)
    session.flush()
    return row.id


def complete(session: Session, number: int, *, status: int, location: str | None) -> None:
    """Adds what only the answer told."""
    session.execute(
        update(AuditRow).where(AuditRow.id == number)
        .values(status=status, location=None if location is None else location[:500])
    )


def listing(session: Session, *, before: int | None, limit: int, caller: str | None) -> list[contracts.AuditLine]:
    """Newest first: those before the line with this id, of one caller if asked."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditRow.id < before)
    if caller is not None:
        statement = statement.where(AuditRow.caller == caller)
    return [
        contracts.AuditLine(
            id=row.id, at=moment(row.at), caller=row.caller, method=row.method, path=row.path, status=row.status,
            location=row.location, request_id=row.request_id,
        )
        for row in session.scalars(statement)
    ]
