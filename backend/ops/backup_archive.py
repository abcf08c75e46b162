"""The file of a backup: a tar whose last member lists all others with their sizes and hashes.

`rows/TABLE.jsonl` has a JSON line per row, `files/LOCATION` is a file of the artifact store, and `images/KEY/HASH/PATH`
one of the images of a registered data set.
"""

import hashlib
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROWS, FILES, IMAGES = "rows/", "files/", "images/"
_LIST = "backup.json"
_IN_MEMORY = 16 * 2**20  # bytes of a member; larger ones are collected on the disk of the backup
# No part begins with a dot, so no name leads out of a folder
_NAME = re.compile(r"(rows|files|images)(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


class BadBackup(RuntimeError):
    """The file is no complete backup; the message gives the reason."""


class _Member(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class _List(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    version: Literal[2]  # version 1 had neither this list nor the images of registered data sets
    revision: str  # of the database
    made_at: float  # seconds since the epoch
    members: dict[str, _Member]


class Writer:
    """Writes a backup to an open file: `add` for each member, then `close`."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        self._archive = tarfile.TarFile(fileobj=file, mode="w")
        self._folder = folder
        self._members: dict[str, _Member] = {}

    def add(self, name: str, fill: Callable[[IO[bytes]], None]) -> None:
        """Add what `fill` writes to the file that it gets; nothing if it raises."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._folder)) as content:
            fill(content)
            size = content.tell()
            content.seek(0)
            self._members[name] = _Member(bytes=size, sha256=hashlib.file_digest(content, "sha256").hexdigest())
            content.seek(0)
            self._append(name, size, content)

    def close(self, revision: str) -> None:
        """Add the list of the members, which makes the backup complete."""
        listed = _List(version=2, revision=revision, made_at=time.time(), members=self._members)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._folder)) as content:
            content.write(listed.model_dump_json().encode())
            size = content.tell()
            content.seek(0)
            self._append(_LIST, size, content)
        self._archive.close()

    def _append(self, name: str, size: int, content: IO[bytes]) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._archive.addfile(entry, content)


class Archive:
    """A backup whose members are as they were written."""

    def __init__(self, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], revision: str) -> None:
        self._archive = archive
        self._members = members
        self.revision = revision

    def names(self, prefix: str) -> list[str]:
        """Return the rest of each name that begins with the prefix."""
        return [name.removeprefix(prefix) for name in self._members if name.startswith(prefix)]

    def open(self, name: str) -> IO[bytes]:
        """Raises BadBackup if there is no such member."""
        if name not in self._members:
            raise BadBackup(f"it has no {name}")
        return _content(self._archive, self._members[name])


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a backup after every member has been compared with the list.

    Raises:
        BadBackup: it is no backup, incomplete or damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        archive, members = _read_members(file)
        listed = _read_list(archive, members)
        del members[_LIST]
        for name in (*members, *listed.members):
            if not _NAME.fullmatch(name):
                raise BadBackup(f"it has a file named {_shown(name)}, which no backup has")
        for name in listed.members.keys() - members.keys():
            raise BadBackup(f"it lacks {name}, or its file is damaged before that")
        for name in members.keys() - listed.members.keys():
            raise BadBackup(f"it has {name}, which was not written with it")
        for name, member in members.items():
            _compare(archive, member, listed.members[name])
        yield Archive(archive, members, listed.revision)


def _read_members(file: IO[bytes]) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
    members: dict[str, tarfile.TarInfo] = {}
    try:
        archive = tarfile.TarFile(fileobj=file)
        # By next(): a negative size would lead a loop over the archive back to its beginning
        while (member := archive.next()) is not None:
            if member.type != tarfile.REGTYPE or member.sparse is not None or member.size < 0:
                raise BadBackup(f"{_shown(member.name)} in it is not a plain file")
            if member.name in members:
                raise BadBackup(f"it has two files named {_shown(member.name)}")
            members[member.name] = member
    except BadBackup:
        raise
    except Exception as error:  # tarfile raises errors of many kinds for damaged headers
        raise BadBackup("it is not a DensityLab backup, or damaged") from error
    return archive, members


def _read_list(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> _List:
    if "about.json" in members:
        raise BadBackup("it is of an older version, whose backups lack a list of their content: restore it with that")
    if _LIST not in members:
        raise BadBackup("it is not a complete DensityLab backup: the list at its end is missing")
    try:
        return _List.model_validate_json(_content(archive, members[_LIST]).read())
    except (ValidationError, tarfile.TarError) as error:
        raise BadBackup("the list at its end is damaged, or of a newer version") from error


def _compare(archive: tarfile.TarFile, member: tarfile.TarInfo, listed: _Member) -> None:
    try:
        same = member.size == listed.bytes and _digest(archive, member) == listed.sha256
    except tarfile.TarError:
        same = False
    if not same:
        raise BadBackup(f"{member.name} in it is damaged")


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    return hashlib.file_digest(_content(archive, member), "sha256").hexdigest()  # type: ignore[arg-type]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None, "a plain file has content"
    return content


def _shown(name: str) -> str:
    """Return a name from a foreign file without control characters, and not too long."""
    return ascii(name[:100])
