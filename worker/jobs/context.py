"""What every job opens once it runs: settings, database, artifact store.

`make_ready` does before the fork what each job would do again after it: it reads the settings and compiles the
statements that claim and end a task, which costs more than executing them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
from sqlalchemy.exc import DBAPIError

from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import mirror_registered
from backend.shared.contracts import Status, TaskKind
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import registered, tasks

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    artifacts: ArtifactStore


_ready: tuple[Settings, Database] | None = None  # without a connection, so that a fork can share it


def make_ready(settings: Settings) -> None:
    """Keeps the settings and a database without connections for all jobs of this process and of its forks.

    A database that does not answer, or is not migrated yet, costs the first job the time that this saves.
    """
    global _ready
    fsspec.core.url_to_fs("file:///")  # imports at its first use, which would be in each job
    database = Database(settings.database_url)
    try:
        _compile_statements(database)
    except DBAPIError as error:
        _log.warning("the database cannot be read yet: %s", error.orig)
    finally:
        database.close()
    _ready = settings, database


@contextmanager
def opened() -> Iterator[Context]:
    """Opens them in this process. Connections are made after the fork, never before."""
    if _ready is None:
        settings = Settings()
        database = Database(settings.database_url)
    else:
        settings, database = _ready
    try:
        with database.read() as session:
            mirror_registered(registered.entries(session))
        yield Context(settings, database, ArtifactStore(settings.artifacts_url))
    finally:
        database.close()


def _compile_statements(database: Database) -> None:
    """Takes a task through its life in a transaction that is rolled back: the engine keeps what it compiled."""
    with database.write() as session:
        registered.entries(session)
        task_id = tasks.create(session, TaskKind.TRAIN).id
        held = tasks.claim(session, task_id, worker="", lease_seconds=1.0)
        if held is not None:
            tasks.fence(session, held)
            tasks.renew(session, held, lease_seconds=1.0, stage="", progress=0.0, clear_eta=True)
            tasks.get(session, task_id)
            tasks.finish(session, held, Status.SUCCEEDED)
        session.rollback()
