"""Engines and transactions. Make a `Database` after a fork, never before."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError, TimeoutError
from sqlalchemy.orm import Session

from densitylab.backend.shared.disk_full import DatabaseFull, is_database_full

_BUSY_SECONDS = 30  # for which a writer waits for others on SQLite
_LOCKED, _TOO_LONG = "55P03", "57014"  # of PostgreSQL
# A refused connection has no code
_TOO_MANY = re.compile("too many (clients|connections)|remaining connection slots")
# Drop a connection to a dead host after these seconds; the kernel's default is 15 minutes
_TIMEOUTS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}


class Database:
    """Read and write transactions on one database URL (SQLite or PostgreSQL).

    Errors of a full disk are raised as DatabaseFull.

    Args:
        before_commit: called at the end of write transactions, inside them.
        lock_seconds: for which a statement waits for another transaction on PostgreSQL; 0: without a limit.
        statement_seconds: for which a statement may run on PostgreSQL; 0: without a limit.
    """

    def __init__(
        self,
        url: str,
        before_commit: Callable[[Session], None] | None = None,
        *,
        lock_seconds: float = 0.0,
        statement_seconds: float = 0.0,
    ) -> None:
        self.engine = _engine(url)
        if self.engine.dialect.name == "postgresql":
            _set_postgresql(self.engine, lock_seconds, statement_seconds)
        event.listen(self.engine, "handle_error", self._name_full_disk)
        self.full_at: float | None = None
        """When an error last said that the disk is full, by time.monotonic()."""
        self._before_commit = before_commit
        self._write_lock: AbstractContextManager[None]
        if url.startswith("sqlite"):
            self._reading, self._write_lock = self.engine, _WriteLock()
        else:
            # Without a transaction: a ROLLBACK at its end would discard all prepared statements of the driver
            self._reading, self._write_lock = self.engine.execution_options(isolation_level="AUTOCOMMIT"), nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that reads: a snapshot on SQLite; what is committed at each statement on PostgreSQL."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, before_commit: bool = True) -> Iterator[Session]:
        """Yield a session that writes: committed at the end, rolled back on an exception. `before_commit` is called
        for it, or is not.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so that no other writer comes between a check and
        the write that depends on it.
        """
        engine = self.engine.execution_options(densitylab_write=True)
        with self._write_lock, Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
            if before_commit and self._before_commit is not None:
                self._before_commit(session)

    def close(self) -> None:
        self.engine.dispose()

    def _name_full_disk(self, context: ExceptionContext) -> DatabaseFull | None:
        """Return the error to raise instead, None to leave it as it is."""
        url, cause = self.engine.url, context.original_exception
        file = url.database if url.get_backend_name() == "sqlite" else None
        if not is_database_full(cause, Path(file).parent if file else None):
            return None
        self.full_at = time.monotonic()
        return DatabaseFull(context.statement, context.parameters, cause)


class _WriteLock:
    """Lock among the threads of one process that write to SQLite. Without it each waiting thread polls SQLite's lock
    with sleeps of up to 100 ms, and the database is idle most of that time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_BUSY_SECONDS):
            raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def now(session: Session) -> float:
    """Return seconds since the epoch by the database's clock, so that hosts with different clocks agree on leases."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time()
    return float(session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def explain(error: SQLAlchemyError) -> str:
    """Return in a clause why the database did not do what was asked."""
    cause = getattr(error, "orig", None)
    locked = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY or "database is locked" in str(cause)
    if locked or getattr(cause, "sqlstate", None) == _LOCKED:
        return "the database is locked by another transaction"
    if getattr(cause, "sqlstate", None) == _TOO_LONG:
        return "the database took too long for a statement"
    if isinstance(error, TimeoutError) or _TOO_MANY.search(str(cause)):
        return "the database accepts no more connections"
    return "the database does not answer"


def _set_postgresql(engine: Engine, lock_seconds: float, statement_seconds: float) -> None:
    """Limit statements, and let each be planned for its values: after ten uses PostgreSQL would plan a prepared one for
    any values, which for a curve of a million points took 30 times as long. None is compiled: that pays for reports
    over whole tables, and a page of a listing took 60 ms in place of 3."""

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.execute("SET jit = off")
        for name, seconds in (("lock_timeout", lock_seconds), ("statement_timeout", statement_seconds)):
            if seconds:
                connection.execute(f"SET {name} = {seconds * 1000:.0f}")
        connection.autocommit = False


def _sqlite_url(url: str) -> str | URL:
    """Return the URL with its path taken literally: in a URL `?`, `#` and `%20` have a meaning, in a file name none."""
    path = url.removeprefix("sqlite:///")
    return url if path == url or path.startswith("file:") else URL.create("sqlite", database=path)


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            connect_args=_TIMEOUTS,
            json_deserializer=_from_json,
        )
    # Last in, first out: the most recently used connections have the pages in their cache
    engine = create_engine(
        _sqlite_url(url),
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        pool_size=10,
        max_overflow=20,
        pool_use_lifo=True,
        json_deserializer=_from_json,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is sent below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA cache_size=-16384")  # KiB: a listing that sorts by a metric reads every run
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("densitylab_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _from_json(content: str | bytes) -> Any:
    """Return the stored value. Lone surrogates, which no answer of the API can hold, become U+FFFD."""
    text = content.decode() if isinstance(content, bytes) else content
    value = json.loads(text)
    if "\\ud" not in text and "\\uD" not in text:
        return value
    raw = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(raw.decode("utf-16-le", "replace"))
