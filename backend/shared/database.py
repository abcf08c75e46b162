"""Engines and transactions. Make a `Database` after a fork, never before."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

_BUSY_SECONDS = 30  # that a writer waits for the others on SQLite
# Seconds after which a connection to a host that is gone is given up, instead of the kernel's quarter of an hour
_GONE = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}


class Database:
    """Read and write transactions on one database URL (SQLite or PostgreSQL).

    Args:
        before_commit: called at the end of every write transaction, inside it.
    """

    def __init__(self, url: str, before_commit: Callable[[Session], None] | None = None) -> None:
        self.engine = _engine(url)
        self._before_commit = before_commit
        self._turn: AbstractContextManager[None]
        if url.startswith("sqlite"):
            self._reading, self._turn = self.engine, _Turn()
        else:
            # Without a transaction: the ROLLBACK at its end has the driver forget all statements that it has prepared
            self._reading, self._turn = self.engine.execution_options(isolation_level="AUTOCOMMIT"), nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """To read from: on SQLite a snapshot; on PostgreSQL each statement sees what is committed by then."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end, rolled back on an exception.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so that a check and the write that rests on it
        cannot be parted by another writer.
        """
        engine = self.engine.execution_options(densitylab_write=True)
        with self._turn, Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
            if self._before_commit is not None:
                self._before_commit(session)

    def close(self) -> None:
        self.engine.dispose()


class _Turn:
    """SQLite's write lock among the threads of one process, who would else ask for it again after up to 100 ms of sleep
    each: of many that waited so, the lock was held by nobody most of the time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_BUSY_SECONDS):
            raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def now(session: Session) -> float:
    """Seconds since the epoch by the database's clock, so that hosts with unlike clocks agree on leases."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time()
    return float(session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=_GONE)
    # The same few connections are used as long as they suffice, for what they have read is in their memory
    engine = create_engine(
        url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}, pool_size=10, max_overflow=20,
        pool_use_lifo=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, see below
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
