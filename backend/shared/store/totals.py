"""Numbers of tasks and ended runs and bytes of artifacts, kept beside the rows: counting 300,000 tasks takes longer
than all else that monitoring asks.

Triggers of the database (revision 0025) add a row with the difference for every change, so that two transactions never
wait for each other. `merge` adds the rows up from time to time. No backup has them: a restore makes them anew.
"""

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, MetaData, String, Table, delete, func, insert, select
from sqlalchemy.orm import Session

TABLE = Table(
    "totals",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),  # "tasks:KIND:STATUS", "ended:STATUS" or "artifact_bytes"
    Column("number", BigInteger, nullable=False),
)
_MERGED = 500  # rows below which a sum takes no time


def tasks(session: Session) -> dict[tuple[str, str], int]:
    """Return the number of tasks by (kind, status), without those of which there are none."""
    counts = {}
    for name, number in _sums(session, TABLE.c.name.startswith("tasks:")):
        _, kind, status = name.split(":")
        if number:
            counts[kind, status] = number
    return counts


def artifact_bytes(session: Session) -> int:
    """Return the bytes of all artifacts."""
    return sum(number for _, number in _sums(session, TABLE.c.name == "artifact_bytes"))


def ended(session: Session) -> dict[str, int]:
    """Return the number of events of trainings that ended, by status, without those of which there are none."""
    sums = _sums(session, TABLE.c.name.startswith("ended:"))
    return {name.partition(":")[2]: number for name, number in sums if number}


def merge(session: Session) -> None:
    """Replace the rows by their sums if there are many."""
    if (session.scalar(select(func.count()).select_from(TABLE)) or 0) < _MERGED:
        return
    sums: dict[str, int] = {}
    # In one statement: a row that is committed between two would be deleted and not counted
    for name, number in session.execute(delete(TABLE).returning(TABLE.c.name, TABLE.c.number)):
        sums[name] = sums.get(name, 0) + number
    session.execute(insert(TABLE), [{"name": name, "number": number} for name, number in sums.items()])


def _sums(session: Session, condition: ColumnElement[bool]) -> list[tuple[str, int]]:
    rows = session.execute(
        select(TABLE.c.name, func.sum(TABLE.c.number)).where(condition).group_by(TABLE.c.name).order_by(TABLE.c.name)
    )
    return [(name, int(number)) for name, number in rows]
