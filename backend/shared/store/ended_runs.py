"""The number of trainings that have ended, by status. It only grows: ends whose events are deleted stay counted."""

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import totals as kept_totals
from densitylab.backend.shared.tables import EndedRunsRow, EventRow

_ENDS = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


def totals(session: Session) -> dict[str, int]:
    """Return the number by status. A run that was retried has ended several times."""
    numbers = dict.fromkeys(map(str, _ENDS), 0)
    for row in session.scalars(select(EndedRunsRow)):
        numbers[row.status] += row.number
    for status, number in kept_totals.ended(session).items():
        numbers[status] += number
    return numbers


def keep(session: Session, *events: ColumnElement[bool]) -> None:
    """Count the ends among these events, which are deleted next."""
    for status, number in _in_events(session, *events):
        changed = session.execute(
            update(EndedRunsRow)
            .where(EndedRunsRow.status == status)
            .values(number=EndedRunsRow.number + number)
            .returning(EndedRunsRow.status)
        )
        if changed.first() is None:
            session.add(EndedRunsRow(status=status, number=number))
            session.flush()


def _in_events(session: Session, *which: ColumnElement[bool]) -> list[tuple[str, int]]:
    counted = (
        select(EventRow.status, func.count())
        .where(EventRow.kind == TaskKind.TRAIN, EventRow.status.in_(_ENDS), *which)
        .group_by(EventRow.status)
        .order_by(EventRow.status)
    )
    return [(status, number) for status, number in session.execute(counted)]
