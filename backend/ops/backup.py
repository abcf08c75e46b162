"""`densitylab backup FILE`: the whole system in one file.

The file belongs to no database: a backup of SQLite can be restored to PostgreSQL and the other way round. It has every
row, and every file that cannot be made again (`stored_files`). It has no secret in plain text: tokens are stored as
hashes, and the secrets of webhooks are left out. A backup may be made while everything runs.
"""

import argparse
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from alembic.runtime.migration import MigrationContext
from pydantic import ValidationError
from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.ops import backup_rows, interruption, migrate, stored_files
from densitylab.backend.ops.backup_archive import FILES, IMAGES, ROWS, Writer
from densitylab.backend.ops.stored_files import Manifest, RegisteredImages
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.store import tasks
from densitylab.backend.shared.tables import Base

_ROWS_AT_ONCE = 1000


class BackupError(RuntimeError):
    """No backup was made; the message gives the reason."""


def create(settings: Settings, path: Path) -> list[str]:
    """Write the backup, readable by its owner only. The file appears when it is complete.

    Returns:
        The locations of files that the store lacks, whose rows the backup leaves out. A checkpoint that was replaced
        meanwhile is one of them: its run starts over after a restore, to the same weights.

    Raises:
        BackupError: the database is of another revision, or the images of a registered data set are elsewhere.
        OSError: the file cannot be written, or the store does not answer.
    """
    if path.exists() and not path.is_file():
        raise BackupError(f"{path} is not a file")
    if not path.parent.is_dir():
        raise BackupError(f"there is no folder {path.parent}")
    database = Database(settings.database_url)
    try:
        with _replacing(path) as file, database.engine.connect() as connection:
            # One snapshot for all tables, so that a run and its metrics belong together
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision != migrate.head():
                raise BackupError("the database is not up to date: run `densitylab migrate` first")
            writer = Writer(file, path.parent)
            missing = _add_files(writer, ArtifactStore(settings.artifacts_url), connection)
            for images in stored_files.registered_images(connection):
                _add_images(writer, settings, images)
            for table in Base.metadata.sorted_tables:
                writer.add(f"{ROWS}{table.name}.jsonl", partial(_dump, connection, table, missing))
            writer.close(revision)
    finally:
        database.close()
    return sorted(missing)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the place of `path` at the end, or is removed."""
    # Named before it exists, so that a signal at any moment finds it
    unfinished = path.with_name(f".backup-{secrets.token_hex(8)}.partial")
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _add_files(writer: Writer, store: ArtifactStore, connection: Connection) -> set[str]:
    """Add the files of the store; return the locations of those that it lacks."""
    missing = set()
    for location in list(stored_files.locations(connection)):
        try:
            writer.add(FILES + location, partial(store.read_into, location))
        except FileNotFoundError:
            missing.add(location)
    return missing


def _add_images(writer: Writer, settings: Settings, images: RegisteredImages) -> None:
    for store, folder in images.places(settings):
        with suppress(FileNotFoundError, ValidationError):
            manifest = Manifest.model_validate_json(store.read(f"{folder}/{stored_files.MANIFEST}"))
            if manifest.data_hash == images.data_hash:
                for location in store.locations(folder):
                    name = f"{IMAGES}{images.key}/{images.params_hash}/{location.removeprefix(f'{folder}/')}"
                    writer.add(name, partial(store.read_into, location))
                return
    raise BackupError(
        f"the images of the registered data set {images.key!r} are neither in the data folder {settings.data_dir} nor "
        "in the store: make the backup on the machine that has them, or remove the data set first"
    )


def _dump(connection: Connection, table: Table, missing: set[str], file: IO[bytes]) -> None:
    streamed = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    for row in streamed.execute(select(table).order_by(*table.primary_key.columns)).mappings():
        kept = _KEPT[table.name](dict(row), missing) if table.name in _KEPT else dict(row)
        if kept is not None:
            file.write(backup_rows.encode(kept))


Row = dict[str, Any]


def _with_file(row: Row, missing: set[str]) -> Row | None:
    return None if row["location"] in missing else row


def _without_missing_samples(row: Row, missing: set[str]) -> Row:
    return row | {"samples_location": None} if row["samples_location"] in missing else row


_LOST: dict[str, str] = {
    TaskKind.REGISTER: "The archive was gone when the backup was made: register the images again.",
    TaskKind.PREVIEW: "The archive was gone when the backup was made: upload it again.",
    TaskKind.INSPECT: "The file was gone when the backup was made: upload it again.",
    TaskKind.IMPORT: "The file was gone when the backup was made: import it again.",
}


def _without_missing_upload(row: Row, missing: set[str]) -> Row:
    lost = _LOST.get(row["kind"])
    if lost is None or row["payload"]["upload"] not in missing or row["status"] not in tasks.ACTIVE:
        return row
    return row | {"status": Status.FAILED, "error": lost, "finished_at": row["created_at"]}


def _without_secret(row: Row, _missing: set[str]) -> Row:
    return row | {"secret": ""}


_KEPT: dict[str, Callable[[Row, set[str]], Row | None]] = {
    "artifacts": _with_file,
    "attributions": _with_file,
    "datasets": _without_missing_samples,
    "tasks": _without_missing_upload,
    "webhooks": _without_secret,
}


def main(arguments: Sequence[str]) -> int | str | None:
    """Run the command. Return why it failed, in a sentence."""
    parser = argparse.ArgumentParser(
        prog="densitylab backup",
        description="Write the database and all stored files to one file. Everything may keep running meanwhile.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    path = parser.parse_args(arguments).file
    try:
        with interruption.raised():
            for location in create(Settings(), path):
                print(f"Left out, since the store does not have it: {location}")
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    except KeyboardInterrupt:
        print("Stopped: no backup was made.")
        return 130
    except ValidationError as error:
        return explain(error)
    except OSError as error:
        return f"No backup was made at {path}: {error.strerror or error}"
    except (BackupError, migrate.MigrationError, SQLAlchemyError) as error:
        return f"No backup was made: {str(getattr(error, 'orig', None) or error).strip().splitlines()[0]}"
    return None
