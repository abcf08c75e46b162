"""The lines of the audit: who changed what, when, in which request."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.database import now
from backend.shared.store.times import moment
from backend.shared.tables import AuditRow


def append(
    session: Session, *, caller: str, method: str, path: str, status: int, location: str | None, request_id: str
) -> None:
    session.add(AuditRow(
        at=now(session), caller=caller, method=method, path=path[:500], status=status,
        location=None if location is None else location[:500], request_id=request_id,
    ))


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
