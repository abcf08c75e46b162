"""Settings, database, artifact store and catalog of a job.

`preload` does once, before the fork, what each job would otherwise repeat: it reads the settings and compiles the
statements that claim and end a task, which takes longer than executing them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
from sqlalchemy.exc import DBAPIError

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import registered_datasets, tasks

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """The services that a job uses."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    catalog: Catalog  # with the data sets that were registered when the job began


_ready: tuple[Settings, Database, Catalog] | None = None  # without a connection, so that forks can share it


def preload(settings: Settings, catalog: Catalog) -> None:
    """Keep the settings and a database without connections for all jobs of this process and of its forks.

    If the database does not answer or is not migrated yet, each job compiles its statements itself.
    """
    global _ready
    fsspec.core.url_to_fs("file:///")  # imports on first use, which would be in each job
    database = Database(settings.database_url)
    try:
        _compile_statements(database)
    except DBAPIError as error:
        _log.warning("the database cannot be read yet: %s", error.orig)
    finally:
        database.close()
    _ready = settings, database, catalog


@contextmanager
def opened() -> Iterator[Context]:
    """Open the context in this process. Connections are made after the fork, never before."""
    if _ready is None:
        settings = Settings()
        database, installed = Database(settings.database_url), Catalog.installed()
    else:
        settings, database, installed = _ready
    try:
        with database.read() as session:
            catalog = registered_datasets.with_registered(session, installed)
        yield Context(settings, database, ArtifactStore(settings.artifacts_url), catalog)
    finally:
        database.close()


def _compile_statements(database: Database) -> None:
    """Run a task's statements in a transaction that is rolled back: the engine caches the compiled statements."""
    with database.write() as session:
        registered_datasets.entries(session)
        task_id = tasks.create(session, TaskKind.TRAIN).id
        claim = tasks.claim(session, task_id, worker="", lease_seconds=1.0)
        if claim is not None:
            tasks.fence(session, claim)
            tasks.renew(session, claim, lease_seconds=1.0, stage="", progress=0.0, clear_eta=True)
            tasks.get(session, task_id)
            tasks.finish(session, claim, Status.SUCCEEDED)
        session.rollback()
