"""`densitylab migrate`: bring the database to the newest revision, and make the store's bucket or folder.

A SQLite file is copied to `backups/` in the state folder first. After a change of `densitylab.backend.shared.tables`,
`densitylab migrate --new "what changed"` drafts the next revision.
"""

import argparse
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.store import word_index

_KEPT_BACKUPS = 5
_ADVISORY_LOCK = 0x64656E73  # any fixed number: two machines that start at once migrate one after the other


class MigrationError(RuntimeError):
    """The database cannot be brought to the code's revision; the message is for the user."""


def upgrade(settings: Settings) -> Path | None:
    """Run the revisions that the database lacks.

    Args:
        settings: names the database, and the state folder that takes the backup.

    Returns:
        The backup that was made, if any revision was pending on a SQLite file with content.

    Raises:
        MigrationError: the database is newer than the code, or cannot be used.
    """
    try:
        with _connection(settings) as connection:
            current = MigrationContext.configure(connection).get_current_heads()
            if not _is_pending(current):
                return None
            backup = None
            if current and connection.dialect.name == "sqlite":
                backup = _back_up(connection, settings.home / "backups", current[0])
            command.upgrade(_config(connection), "head")
            connection.commit()
            return backup
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise MigrationError(f"The database cannot be used, backed up or migrated: {cause}") from error


def head() -> str:
    """Return the revision of the code's tables."""
    return ScriptDirectory.from_config(_config()).get_heads()[0]


def draft(settings: Settings, message: str) -> None:
    """Write the next revision file from the difference between the tables and an up-to-date database."""
    upgrade(settings)
    with _connection(settings) as connection:
        number = len(list(ScriptDirectory.from_config(_config(connection)).walk_revisions())) + 1
        command.revision(_config(connection), message, autogenerate=True, rev_id=f"{number:04}")


def is_declared(name: str | None, _kind: str, _parents: object) -> bool:
    """Return whether the code declares what has this name in the database: indexes of words are made by revisions
    alone."""
    return not word_index.is_part(name)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).resolve().parents[1] / "migrations").replace("%", "%%")
    )
    config.attributes.update(connection=connection, is_declared=is_declared)
    return config


def _is_pending(current: tuple[str, ...]) -> bool:
    scripts = ScriptDirectory.from_config(_config())
    heads = scripts.get_heads()
    for revision in current:
        try:
            scripts.get_revision(revision)
        except CommandError as error:
            raise MigrationError(
                f"The database (revision {revision}) is newer than this DensityLab, which knows revisions up to "
                f"{', '.join(heads)}: update the code, or choose another DENSITYLAB_HOME or DENSITYLAB_DATABASE_URL"
            ) from error
    return set(current) != set(heads)


@contextmanager
def _connection(settings: Settings) -> Iterator[Connection]:
    database = Database(settings.database_url)

    if database.engine.dialect.name == "sqlite":
        _make_folder(database.engine.url.database)

        @event.listens_for(database.engine, "connect")
        def _without_foreign_keys(connection: sqlite3.Connection, _record: Any) -> None:
            # A batch drops the old table, which would delete the rows that refer to it
            connection.execute("PRAGMA foreign_keys=OFF")

    try:
        with database.engine.connect() as connection:
            connection = connection.execution_options(densitylab_write=True)
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield connection
    finally:
        database.close()


def _make_folder(database: str | None) -> None:
    if database and database != ":memory:" and not database.startswith("file:"):
        Path(database).parent.mkdir(parents=True, exist_ok=True)


def _back_up(connection: Connection, folder: Path, revision: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    backup = folder / f"densitylab-{stamp}-{revision}.sqlite"
    partial = backup.with_suffix(".partial")
    # A second connection reads the state before this transaction; ours holds the write lock meanwhile
    database = str(connection.engine.url.database)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
    partial.rename(backup)
    for old in sorted(folder.glob("densitylab-*.sqlite"))[:-_KEPT_BACKUPS]:
        old.unlink()
    return backup


def main(arguments: Sequence[str]) -> str | None:
    """Run the command. Return why it failed, in a sentence."""
    parser = argparse.ArgumentParser(
        prog="densitylab migrate",
        description="Bring the database to the newest revision. A SQLite file is backed up first.",
    )
    parser.add_argument("--new", metavar="MESSAGE", help="draft the next revision from the tables instead")
    given = parser.parse_args(arguments)
    try:
        settings = Settings()
        if given.new:
            draft(settings, given.new)
        else:
            backup = upgrade(settings)
            _make_store(settings)
            print(f"The database is up to date{f'; a copy of the earlier one is {backup}' if backup else ''}.")
    except ValidationError as error:
        return explain(error)
    except MigrationError as error:
        return str(error)
    return None


def _make_store(settings: Settings) -> None:
    try:
        ArtifactStore(settings.artifacts_url).make_root()
    except OSError as error:
        raise MigrationError(
            f"The folder or bucket for files, {settings.artifacts_url}, cannot be created: {error}"
        ) from error
