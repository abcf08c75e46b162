"""Delete what killed and cancelled preparations and registrations left in the data folder of this host.

Several systems may use one data folder: only files that a task of this database made, or that no process has open or
has changed for a day, are deleted. Files that users placed there stay.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import datasets, registered_datasets
from densitylab.backend.shared.tables import TaskRow

SETTLED_SECONDS = 60.0  # between making a folder and locking it
ABANDONED_SECONDS = 24 * 3600.0  # without a change
_COPY = re.compile(r"\.([0-9a-f]{32}\.zip)")  # of an uploaded archive, see `worker.jobs.register`
_MODEL = re.compile(r"\.[0-9a-f]{32}\.model")  # see `worker.jobs.model_file`
_STAGING = re.compile(r"\.[^/]+\.[0-9a-f]{32}")  # see `worker.datasets.npy_store`
_UNSUCCESSFUL = (Status.FAILED, Status.CANCELLED)


def delete(database: Database, data_dir: Path) -> int:
    """Delete what is left over in the data folder; return the number of files and folders. Raises OSError."""
    with database.read() as session:
        deleted = [
            *_copies(session, data_dir),
            *_models(data_dir),
            *_staging(session, data_dir),
            *_prepared(session, data_dir),
            *_downloads(session, data_dir),
        ]
    for path in deleted:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(deleted)


def _copies(session: Session, data_dir: Path) -> Iterator[Path]:
    """Yield the workers' copies of archives whose registration has ended."""
    copies = {match[1]: path for path in _children(data_dir) if (match := _COPY.fullmatch(path.name))}
    if copies:
        ended, active = (
            {location.rpartition("/")[2] for location in registered_datasets.uploads(session, active=active)}
            for active in (False, True)
        )
        for name, path in copies.items():
            if name in ended or (name not in active and _age(path) > ABANDONED_SECONDS):
                yield path


def _models(data_dir: Path) -> Iterator[Path]:
    """Yield the copies of model files that no process reads: each is locked while it is read."""
    for path in _children(data_dir):
        if _MODEL.fullmatch(path.name) and _age(path) > SETTLED_SECONDS and _unlocked(path):
            yield path


def _staging(session: Session, data_dir: Path) -> Iterator[Path]:
    """Yield the folders that dead preparations were filling: each has its folder locked while it lives."""
    for root in _children(data_dir / "prepared"):
        abandoned = [
            folder
            for folder in _children(root)
            if _STAGING.fullmatch(folder.name) and _age(folder) > SETTLED_SECONDS and _unlocked(folder)
        ]
        if abandoned and not _active(session, root.name):  # locks of other hosts may not be seen
            yield from abandoned


def _prepared(session: Session, data_dir: Path) -> Iterator[Path]:
    """Yield complete folders whose preparation or registration was ended before it was recorded."""
    for task in _unsuccessful(session):
        key, params = task.payload["key"], task.payload.get("params", {})
        folder = datasets.prepared_folder(data_dir, key, params if task.kind == TaskKind.PREPARE else {})
        if folder.exists() and folder.stat().st_mtime >= (task.started_at or 0) and not _needed(session, key, params):
            yield folder


def _downloads(session: Session, data_dir: Path) -> Iterator[Path]:
    """Yield the downloads of cancelled preparations, and partial ones that were abandoned; one that failed is continued
    by the next preparation."""
    cancelled = {task.payload["key"] for task in _unsuccessful(session) if task.status == Status.CANCELLED}
    for folder in _children(data_dir / "downloads"):
        if not all(_unlocked(lock) for lock in folder.glob("*.lock")) or _active(session, folder.name):
            continue
        if folder.name in cancelled and not any(row.ready for row in datasets.variants(session, folder.name)):
            yield folder
        else:
            yield from (part for part in folder.glob("*.part") if _age(part) > ABANDONED_SECONDS)


def _unsuccessful(session: Session) -> list[TaskRow]:
    """Return preparations and registrations that began, and failed or were cancelled."""
    rows = session.scalars(
        select(TaskRow).where(
            TaskRow.kind.in_((TaskKind.PREPARE, TaskKind.REGISTER)),
            TaskRow.status.in_(_UNSUCCESSFUL),
            TaskRow.started_at.is_not(None),
        )
    )
    return list(rows)


def _active(session: Session, key: str) -> bool:
    """Return whether queued or running work makes or uses the data set."""
    return bool(datasets.users(session, key)) or registered_datasets.under_way(session, key) is not None


def _needed(session: Session, key: str, params: dict[str, object]) -> bool:
    """Return whether the variant is ready, or work that could make or use it is under way."""
    row = datasets.get(session, key, params)
    return (row is not None and row.ready) or registered_datasets.exists(session, key) or _active(session, key)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age(path: Path) -> float:
    """Return the seconds since the last change; 0 if it was deleted meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _unlocked(path: Path) -> bool:
    """Return whether no process has locked the file or folder."""
    with _opened(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
