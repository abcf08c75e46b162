"""Everything in one file: `python -m backend.backup FILE`, and back: `python -m backend.backup --restore FILE`.

The file is a tar of one JSON line per row, table by table, and of the stored files; no format of one database, so what
was kept on SQLite can be restored to PostgreSQL and the other way round. Data sets that the workers prepared are not in
it: they are prepared again, with the same content. A backup may be made while everything runs. Whoever restores stops
API, reconciler and workers first.
"""

import argparse
import io
import json
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from pydantic import ValidationError
from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from backend.migrate import MigrationError, upgrade
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Status
from backend.shared.database import Database
from backend.shared.settings import Settings, explain
from backend.shared.tables import Base

_BATCH = 1000
_ABOUT, _ROWS, _FILES = "about.json", "rows/", "files/"


class BackupError(RuntimeError):
    """Nothing was changed; the message is for the user."""


def create(settings: Settings, path: Path) -> int:
    """Writes the backup; returns the bytes. The file appears when it is whole."""
    database, store = Database(settings.database_url), ArtifactStore(settings.artifacts_url)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tarfile.open(partial, "w") as archive, database.engine.connect() as connection:
            # One snapshot for all tables: a run and its metrics must be of the same moment
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            revision = MigrationContext.configure(connection).get_current_revision()
            _add(archive, _ABOUT, json.dumps({"revision": revision, "made_at": time.time()}).encode())
            for table in Base.metadata.sorted_tables:
                _add(archive, f"{_ROWS}{table.name}.jsonl", _dump(connection, table))
            for location in store.everything():
                try:
                    _add(archive, _FILES + location, store.read(location))
                except FileNotFoundError:
                    continue  # a checkpoint that a newer one has replaced
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
        database.close()
    return path.stat().st_size


def restore(settings: Settings, path: Path) -> None:
    """Fills the database and the store that the settings name.

    What was at work is queued again. A checkpoint that was replaced while the backup was made is missing in it; its run
    starts over, to the same weights.

    Raises:
        BackupError: the backup is of another revision, or the database is not empty.
    """
    upgrade(settings)
    database, store = Database(settings.database_url), ArtifactStore(settings.artifacts_url)
    try:
        with tarfile.open(path) as archive, database.write() as session:
            connection = session.connection()
            about = json.load(_member(archive, _ABOUT))
            revision = MigrationContext.configure(connection).get_current_revision()
            if about["revision"] != revision:
                raise BackupError(
                    f"the backup is of revision {about['revision']} and this DensityLab of {revision}: restore it with "
                    "the version that made it, then update"
                )
            if any(connection.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables):
                raise BackupError("the database is not empty: restore into a new one")
            for member in archive:
                if member.name.startswith(_FILES):
                    store.write(member.name.removeprefix(_FILES), _member(archive, member.name).read())
            files = {name.removeprefix(_FILES) for name in archive.getnames() if name.startswith(_FILES)}
            for table in Base.metadata.sorted_tables:
                _load(connection, table, _member(archive, f"{_ROWS}{table.name}.jsonl"), files)
            _queue_again(connection)
            _set_sequences(connection)
    finally:
        database.close()


def _dump(connection: Connection, table: Table) -> bytes:
    lines = io.BytesIO()
    for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings():
        lines.write(json.dumps(dict(row)).encode() + b"\n")
    return lines.getvalue()


def _load(connection: Connection, table: Table, lines: Iterator[bytes], files: set[str]) -> None:
    rows: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line)
        if table.name == "artifacts" and row["location"] not in files:
            continue
        rows.append(row)
        if len(rows) == _BATCH:
            connection.execute(insert(table), rows)
            rows = []
    if rows:
        connection.execute(insert(table), rows)


def _queue_again(connection: Connection) -> None:
    """The broker that had these tasks and the workers that held them are not those of today."""
    tasks, artifacts, runs = (Base.metadata.tables[name] for name in ("tasks", "artifacts", "runs"))
    connection.execute(tasks.update().where(tasks.c.status == Status.RUNNING).values(
        status=Status.QUEUED, stage="queued", lease_until=None, worker=None, token=tasks.c.token + 1,
    ))
    connection.execute(tasks.update().where(tasks.c.status == Status.QUEUED).values(delivered=False))
    kept = select(artifacts.c.run_id).where(artifacts.c.name == "checkpoint.pt")
    connection.execute(runs.update().where(runs.c.id.not_in(kept)).values(checkpoint_step=None))


def _set_sequences(connection: Connection) -> None:
    """PostgreSQL counts ids beside the rows; SQLite's own counter has seen the rows come in."""
    if connection.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if "id" in table.c:
            connection.execute(text(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name} "
                "HAVING max(id) IS NOT NULL"
            ))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _member(archive: tarfile.TarFile, name: str) -> Any:
    try:
        found = archive.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise BackupError(f"the file is no backup of this DensityLab: {name} is not in it")
    return found


def main() -> str | None:
    """Does what the command line says; a refusal as a sentence, which ends the process with status 1."""
    parser = argparse.ArgumentParser(description="Back everything up into one file, or restore it.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--restore", action="store_true", help="fill an empty system from the file")
    arguments = parser.parse_args()
    try:
        settings = Settings()
        if arguments.restore:
            restore(settings, arguments.file)
            print("Restored.")
        else:
            print(f"{arguments.file}: {create(settings, arguments.file) / 2**20:.1f} MiB")
    except ValidationError as error:
        return explain(error)
    except (BackupError, MigrationError, OSError, tarfile.TarError, SQLAlchemyError) as error:
        return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return None


if __name__ == "__main__":
    sys.exit(main())
