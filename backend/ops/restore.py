"""`densitylab restore FILE`: fill an empty system from a backup. Stop API, reconciler and workers first."""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Table, insert, inspect, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from densitylab.backend.ops import backup_archive, backup_rows, interruption, migrate, restored_rows, stored_files
from densitylab.backend.ops.backup_archive import FILES, IMAGES, ROWS, Archive, BadBackup
from densitylab.backend.ops.stored_files import Manifest, RegisteredImages
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.tables import Base, WebhookRow

_BATCH = 1000


class RestoreError(RuntimeError):
    """The backup cannot be restored into this system; the message gives the reason."""


def restore(settings: Settings, path: Path) -> list[WebhookRow]:
    """Fill the database, the store and the data folder of the settings: completely, or not at all.

    Tasks that were running are queued again. The secrets of webhooks are not in a backup: each webhook gets a new one.

    Returns:
        The webhooks with their new secrets.

    Raises:
        BadBackup: the file is damaged, or not what `densitylab backup` writes.
        RestoreError: the backup is of another revision, or the system is not empty.
        OSError: the file cannot be read, or the store or the data folder cannot be written.
    """
    with backup_archive.opened(path) as archive, ExitStack() as commit, ExitStack() as undo:
        _check_revision(archive.revision)
        for table in Base.metadata.sorted_tables:
            for _ in _rows(archive, table):
                pass  # every row is checked before anything is written
        _require_empty(settings)
        _remove_on_failure(undo, settings)
        migrate.upgrade(settings)
        database = Database(settings.database_url)
        undo.callback(database.close)
        with database.write() as session:
            for table in Base.metadata.sorted_tables:
                _load(session.connection(), table, archive)
            restored_rows.check(session)
            _write_files(undo, settings, archive, session.connection())
            changed = restored_rows.give_secrets(session)
            restored_rows.queue_again(session)
            restored_rows.set_sequences(session)
            commit.enter_context(interruption.ignored())
        undo.pop_all()
        database.close()
    return changed


def _check_revision(revision: str) -> None:
    if revision != migrate.head():
        raise RestoreError(
            f"the backup is of revision {revision[:40]!a} and this DensityLab of {migrate.head()!r}: restore it "
            "with the version that made it, then update"
        )


def _require_empty(settings: Settings) -> None:
    database = Database(settings.database_url)
    try:
        file = _sqlite_file(database)
        if file is None or file.exists():
            with database.engine.connect() as connection:
                existing = inspect(connection).get_table_names()
                for table in Base.metadata.sorted_tables:
                    # Of an older revision it may lack columns
                    if table.name in existing and connection.execute(select(1).select_from(table).limit(1)).first():
                        raise RestoreError("the database is not empty: restore into a new one")
    finally:
        database.close()
    if ArtifactStore(settings.artifacts_url).everything():
        raise RestoreError("the folder or bucket for files is not empty: restore into a new one")


def _remove_on_failure(undo: ExitStack, settings: Settings) -> None:
    """Let `undo` remove the folders and files that do not exist yet."""
    paths = [settings.home, settings.data_dir]
    if not ArtifactStore(settings.artifacts_url).shared:
        paths.append(Path(settings.artifacts_url.removeprefix("file://")))
    file = _sqlite_file(Database(settings.database_url))
    if file is not None:
        paths += [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm")]
    for path in paths:
        first_new = next((part for part in (*reversed(path.parents), path) if not part.exists()), None)
        if first_new is not None:
            undo.callback(_remove, first_new)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sqlite_file(database: Database) -> Path | None:
    name = database.engine.url.database
    return Path(name) if database.engine.dialect.name == "sqlite" and name else None


def _load(connection: Connection, table: Table, archive: Archive) -> None:
    rows = _rows(archive, table)
    try:
        while batch := list(islice(rows, _BATCH)):
            connection.execute(insert(table), batch)
    except (IntegrityError, DataError) as error:
        cause = str(error.orig).strip().splitlines()[0]
        raise BadBackup(f"its rows do not fit together, at the table {table.name}: {cause}") from error


def _rows(archive: Archive, table: Table) -> Iterator[dict[str, Any]]:
    return backup_rows.decode(table, archive.open(f"{ROWS}{table.name}.jsonl"))


def _write_files(undo: ExitStack, settings: Settings, archive: Archive, connection: Connection) -> None:
    """Write the files that the rows refer to. Raises BadBackup if these are not the files of the backup."""
    images = stored_files.registered_images(connection)
    required = {FILES + location for location in stored_files.locations(connection)}
    for of_one in images:
        required |= _image_names(archive, of_one)
    contained = {FILES + name for name in archive.names(FILES)} | {IMAGES + name for name in archive.names(IMAGES)}
    for name in sorted(required - contained):
        raise BadBackup(f"it lacks {name}, to which its rows refer")
    for name in sorted(contained - required):
        raise BadBackup(f"it has {name}, to which no row of it refers")
    store = ArtifactStore(settings.artifacts_url)
    for folder in sorted({location.split("/")[0] for location in archive.names(FILES)}):
        undo.callback(store.delete_tree, folder)
    for location in archive.names(FILES):
        store.write_from(location, archive.open(FILES + location))
    for of_one in images:
        _write_images(undo, settings, archive, of_one)


def _image_names(archive: Archive, images: RegisteredImages) -> set[str]:
    """Return the names of a data set's files in the backup. Raises BadBackup if they are not all of its images."""
    prefix = _prefix(images)
    try:
        manifest = Manifest.model_validate_json(archive.open(prefix + stored_files.MANIFEST).read())
    except ValidationError as error:
        raise BadBackup(f"the images of its data set {images.key} cannot be read") from error
    if manifest.data_hash != images.data_hash:
        raise BadBackup(f"the images of its data set {images.key} are not those with which its runs were trained")
    return {prefix + name for name in {*manifest.names(), *archive.names(prefix)}}


def _write_images(undo: ExitStack, settings: Settings, archive: Archive, images: RegisteredImages) -> None:
    """Write the images into the store if hosts share it, from which each fetches them, else into the data folder."""
    shared, local = images.places(settings)
    store, folder = shared if shared[0].shared else local
    if store.locations(folder):
        raise RestoreError(
            f"the data folder {settings.data_dir} has images of a data set {images.key!r} already: set "
            "DENSITYLAB_DATA_DIR to another folder"
        )
    undo.callback(store.delete_tree, folder)
    for name in archive.names(_prefix(images)):
        store.write_from(f"{folder}/{name}", archive.open(_prefix(images) + name))


def _prefix(images: RegisteredImages) -> str:
    return f"{IMAGES}{images.key}/{images.params_hash}/"


def main(arguments: Sequence[str]) -> int | str | None:
    """Run the command. Return why it failed, in a sentence."""
    parser = argparse.ArgumentParser(
        prog="densitylab restore",
        description="Fill an empty system from a backup. Stop the API, the reconciler and the workers first.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    path = parser.parse_args(arguments).file
    try:
        with interruption.raised():
            changed = restore(Settings(), path)
    except KeyboardInterrupt:
        print("Stopped: nothing was restored.")
        return 130
    except ValidationError as error:
        return explain(error)
    except BadBackup as error:
        return f"{path} cannot be restored, and nothing was changed: {error}"
    except OSError as error:
        return f"Nothing was restored from {path}: {error.strerror or error}"
    except (RestoreError, migrate.MigrationError, SQLAlchemyError) as error:
        return f"Nothing was restored: {str(getattr(error, 'orig', None) or error).strip().splitlines()[0]}"
    print("Restored.")
    for webhook in changed:
        print(f"A backup has no secrets. The new one of the webhook to {webhook.url} is {webhook.secret}")
    return None
