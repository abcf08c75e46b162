"""Full disks: recognised in the errors of files, object stores and databases, and named by what the disk is for."""

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import OperationalError

from densitylab.backend.shared.disk_room import NO_ROOM, has_room

_STORE_CODES = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded")
_POSTGRESQL_DISK_FULL = "53100"


class DiskFull(OSError):
    """A disk has no room for what was written, or no free inode, or a quota is used up.

    Args:
        disk: what the disk is for, such as "artifact store", "data folder" or "temporary folder".
        folder: a folder on it; None if it is on another machine.
        needed: bytes that were to be written; 0 if that is not known.
    """

    def __init__(self, disk: str, folder: Path | None = None, needed: int = 0) -> None:
        super().__init__(errno.ENOSPC, f"the disk of the {disk} is full")
        self.disk = disk
        self.folder = folder
        self.needed = needed

    def has_room(self) -> bool:
        """Return whether another attempt may succeed; True if that cannot be known."""
        return self.folder is None or has_room(self.folder, self.needed)


class DatabaseFull(OperationalError):
    """The disk of the database is full."""

    disk = "database"


@contextmanager
def named(disk: str, folder: Path | None = None, needed: int = 0) -> Iterator[None]:
    """Raise DiskFull with this name for an error of a full disk."""
    try:
        yield
    except DiskFull:
        raise
    except OSError as error:
        if is_full(error):
            raise DiskFull(disk, folder, needed) from error
        raise


def full_disk(error: BaseException, folders: Mapping[str, Path]) -> DiskFull | DatabaseFull | None:
    """Return the full disk that an error is about, None for another error.

    Args:
        error: of a file, a store or a database.
        folders: where the caller writes by other means than a store, by name. An error that does not name its disk is
            that of the first folder without room; of the first of all where what failed was removed already.
    """
    if isinstance(error, DiskFull | DatabaseFull):
        return error
    if not is_full(error):
        return None
    name = next((name for name, folder in folders.items() if not has_room(folder)), next(iter(folders)))
    return DiskFull(name, folders[name])


def is_full(error: BaseException) -> bool:
    """Return whether an error of a file or an object store says that there is no room."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    response = getattr(error.__cause__, "response", None)  # of botocore
    if not isinstance(response, dict):
        return False
    return (
        response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 507
        or response.get("Error", {}).get("Code") in _STORE_CODES
    )


def is_database_full(error: BaseException | None, folder: Path | None) -> bool:
    """Return whether a database driver's error says that its disk is full; `folder` is that of an SQLite file."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return True
        # Also the codes for a quota, a limit of the file's size, and no free inode
        vague = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
        return vague and folder is not None and not has_room(folder)
    return getattr(error, "sqlstate", None) == _POSTGRESQL_DISK_FULL
