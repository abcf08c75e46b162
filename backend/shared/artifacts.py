"""Storage of files: a local folder or any fsspec URL."""

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import fsspec

from densitylab.backend.shared import disk_full

_SHA256 = re.compile(r"\.sha256-([0-9a-f]{64})(?:\.|$)")


class DamagedFile(ValueError):
    """A stored file whose content is not what was written."""


def checked_location(location: str, data: bytes) -> str:
    """Return the location with the SHA-256 of its content in its name, by which `ArtifactStore.read` checks it:
    `runs/7/checkpoints/2-540.pt` becomes `runs/7/checkpoints/2-540.sha256-….pt`."""
    stem, dot, suffix = location.rpartition(".")
    return f"{stem}.sha256-{hashlib.sha256(data).hexdigest()}{dot}{suffix}"


def checksum(location: str) -> str | None:
    """Return the SHA-256 (hex) in the name of a file; None for files that were stored without one."""
    match = _SHA256.search(location.rpartition("/")[2])
    return match and match[1]


class ArtifactStore:
    """Files below one root, named by locations such as `runs/7/checkpoints/2-540.pt`.

    Any error of a store other than a folder is raised as OSError, with one sentence.
    """

    def __init__(self, url: str) -> None:
        self._local = "://" not in url or urlsplit(url).scheme == "file"
        self._fs, self._root = fsspec.core.url_to_fs(url)

    @property
    def shared(self) -> bool:
        """Return whether other machines can access the store too."""
        return not self._local

    def write(self, location: str, data: bytes) -> int:
        """Store `data` under `location`, whole or not at all, and return its size in bytes.

        Raises:
            DiskFull: the store has no room; nothing is left behind.
            OSError: the store refused it for another reason; nothing is left behind.
        """
        path = self._path(location)
        with self._naming_full_disk(len(data)), _reported():
            if self._local:
                _write_whole(Path(path), data)
            else:
                self._fs.pipe_file(path, data)  # object stores publish only complete objects
        return len(data)

    def write_from(self, location: str, file: IO[bytes]) -> None:
        """Store an open file from its position on, without reading it into memory. Raises as `write` does."""
        path = self._path(location)
        try:
            with self._naming_full_disk(), _reported():
                if self._local:
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                with self._fs.open(path, "wb") as target:
                    shutil.copyfileobj(file, target, 2**20)
        except OSError:
            self.delete(location)
            raise

    def move(self, location: str, target: str) -> None:
        """Give a stored file another location. Raises FileNotFoundError."""
        path = Path(self._path(target))
        with self._naming_full_disk(), _reported():
            if self._local:
                path.parent.mkdir(parents=True, exist_ok=True)
                Path(self._path(location)).replace(path)
            else:
                self._fs.mv(self._path(location), self._path(target))

    def read_to(self, location: str, target: Path) -> None:
        """Copy a stored file to `target`. Raises FileNotFoundError."""
        with _reported():
            self._fs.get_file(self._path(location), str(target))

    def read_into(self, location: str, file: IO[bytes]) -> None:
        """Append a stored file to an open one, without reading it into memory. Raises FileNotFoundError."""
        with _reported(), self._fs.open(self._path(location), "rb") as source:
            shutil.copyfileobj(source, file, 2**20)

    def read(self, location: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedFile: it does not agree with the checksum in its name, or the disk cannot read it.
        """
        try:
            with _reported():
                content: bytes = self._fs.cat_file(self._path(location))
        except OSError as error:
            if error.errno == errno.EIO:
                raise DamagedFile("the disk cannot read the file") from error
            raise
        expected = checksum(location)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise DamagedFile("the file does not agree with its checksum")
        return content

    def open(self, location: str, *, check: bool = True) -> IO[bytes]:
        """Open a file for reading, after a comparison with its checksum that needs no memory unless `check` is False.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedFile: it does not agree with the checksum in its name, or the disk cannot read it.
        """
        with _reported():
            file: IO[bytes] = self._fs.open(self._path(location), "rb")
        expected = checksum(location)
        if not check or expected is None:
            return file
        try:
            with _reported():
                actual = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
                file.seek(0)
        except OSError as error:
            file.close()
            if error.errno == errno.EIO:
                raise DamagedFile("the disk cannot read the file") from error
            raise
        if actual != expected:
            file.close()
            raise DamagedFile("the file does not agree with its checksum")
        return file

    def locations(self, location: str) -> list[str]:
        """Return the locations of all files below `location`."""
        return self._below(self._path(location))

    def modified(self, location: str) -> float:
        """Return when a file was written, in seconds since the epoch. Raises FileNotFoundError."""
        with _reported():
            modified: datetime = self._fs.modified(self._path(location))
        return modified.timestamp()

    def make_root(self) -> None:
        """Create the folder or the bucket, if it does not exist."""
        with _reported():
            self._fs.makedirs(self._root, exist_ok=True)

    def everything(self) -> list[str]:
        """Return the locations of all files."""
        return self._below(self._root)

    def check(self) -> None:
        """Raise OSError if the store does not answer, its bucket does not exist, or its folder is not writable."""
        if not self._local:
            try:
                self._list(self._root)
            except FileNotFoundError:  # nothing is stored yet, or the bucket does not exist
                bucket = self._root.lstrip("/").partition("/")[0]
                try:
                    self._list(bucket)
                except FileNotFoundError as error:
                    raise FileNotFoundError(f"the store has no bucket {bucket!r}") from error
            return
        folder = Path(self._root)
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} is not writable")

    def delete(self, location: str) -> None:
        """Delete the file, if it exists."""
        path = self._path(location)
        if self._exists(path):
            with _reported():
                self._fs.rm_file(path)

    def delete_tree(self, location: str) -> None:
        """Delete all files below `location`, if there are any."""
        path = self._path(location)
        if self._exists(path):
            with _reported():
                self._fs.rm(path, recursive=True)

    def size_tree(self, location: str) -> int:
        """Return the bytes of all files below `location`."""
        path = self._path(location)
        if not self._exists(path):
            return 0
        with _reported():
            return sum(self._fs.sizes(self._fs.find(path)))

    def _naming_full_disk(self, needed: int = 0) -> AbstractContextManager[None]:
        return disk_full.named("artifact store", Path(self._root) if self._local else None, needed)

    def _list(self, path: str) -> None:
        with _reported():
            self._fs.invalidate_cache()
            self._fs.ls(path, detail=False)

    def _exists(self, path: str) -> bool:
        with _reported():
            self._fs.invalidate_cache()  # of listings: other processes write too
            return self._fs.exists(path)

    def _below(self, path: str) -> list[str]:
        if not self._exists(path):
            return []
        with _reported():
            return [file[len(self._root.rstrip("/")) + 1 :] for file in self._fs.find(path)]

    def _path(self, location: str) -> str:
        parts = location.split("/")
        if not all(parts) or any(part in (".", "..") for part in parts) or "\\" in location or "\x00" in location:
            raise ValueError(f"not a location inside the artifact store: {location!r}")
        return f"{self._root.rstrip('/')}/{location}"


def _write_whole(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _reported() -> Iterator[None]:
    """Raise the exceptions of any kind of store as OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"the store does not answer: {error}") from error
