"""What every job opens once it runs: settings, database, artifact store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import mirror_registered
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import registered


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    artifacts: ArtifactStore


@contextmanager
def opened() -> Iterator[Context]:
    """Opens them in this process: after the fork, never before."""
    settings = Settings()
    database = Database(settings.database_url)
    try:
        with database.read() as session:
            mirror_registered(registered.entries(session))
        yield Context(settings, database, ArtifactStore(settings.artifacts_url))
    finally:
        database.close()
