"""The database's seconds since the epoch: as the API's datetimes in UTC, and compared with now."""

from datetime import UTC, datetime
from typing import Any, overload

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute


def elapsed(column: InstrumentedAttribute[Any], seconds: float, at: float) -> ColumnElement[bool]:
    """Condition that the seconds have passed between the column's time and `at`. A time that lies as far ahead counts
    too: the clock was set back after it was written."""
    return ~column.between(at - seconds, at + seconds)


@overload
def to_datetime(seconds: float) -> datetime: ...
@overload
def to_datetime(seconds: None) -> None: ...
def to_datetime(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def first_seconds(time: datetime | None) -> float | None:
    """Return the first seconds that `to_datetime`, which rounds to microseconds, shows as this time; without an offset
    it is UTC. None stays None."""
    return (
        None if time is None else (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() - 0.5e-6
    )
