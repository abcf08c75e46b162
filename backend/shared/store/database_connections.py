"""Connections of a PostgreSQL server: each API process, the reconciler and every job has some."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

_COUNT = text(
    "SELECT sum(numbackends), current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int"
    " - coalesce(current_setting('reserved_connections', true)::int, 0) FROM pg_stat_database"
)


@dataclass(frozen=True)
class Connections:
    """Connections to all databases of the server, and how many it accepts from users that are not superusers."""

    used: int
    limit: int


def used(session: Session) -> Connections | None:
    """Return the connections in use; None on SQLite, which has none."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    return Connections(*session.execute(_COUNT).one())
