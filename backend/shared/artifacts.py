"""Where files live: a local folder or any fsspec URL."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import fsspec


class ArtifactStore:
    """Files below one root, named by locations such as `runs/7/checkpoints/2-540.pt`.

    Whatever a store other than a folder has against an operation is raised as OSError, with one sentence.
    """

    def __init__(self, url: str) -> None:
        self._local = "://" not in url or urlsplit(url).scheme == "file"
        self._fs, self._root = fsspec.core.url_to_fs(url)

    @property
    def shared(self) -> bool:
        """Whether other machines reach it too."""
        return not self._local

    def write(self, location: str, data: bytes) -> int:
        """Stores `data` under `location`, whole or not at all, and returns its size in bytes.

        Raises:
            OSError: the store refused it, for example because the disk is full; nothing is left behind.
        """
        path = self._path(location)
        if not self._local:
            with _reported():
                self._fs.pipe_file(path, data)  # object stores publish an object when it is whole
            return len(data)
        target = Path(path)
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
        return len(data)

    def write_from(self, location: str, file: IO[bytes]) -> None:
        """As `write`, of a file that is too large for memory, from where it stands. Raises OSError."""
        path = self._path(location)
        if self._local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with _reported(), self._fs.open(path, "wb") as target:
                shutil.copyfileobj(file, target, 2**20)
        except OSError:
            self.delete(location)
            raise

    def read_to(self, location: str, target: Path) -> None:
        """Copies the file there to `target`. Raises FileNotFoundError."""
        with _reported():
            self._fs.get_file(self._path(location), str(target))

    def read(self, location: str) -> bytes:
        """The file's bytes. Raises FileNotFoundError."""
        with _reported():
            return self._fs.cat_file(self._path(location))

    def locations(self, location: str) -> list[str]:
        """The locations of all the files below `location`."""
        return self._below(self._path(location))

    def make_root(self) -> None:
        """Makes the folder, or the bucket, where there is none yet."""
        with _reported():
            self._fs.makedirs(self._root, exist_ok=True)

    def everything(self) -> list[str]:
        """The locations of all the files."""
        return self._below(self._root)

    def check(self) -> None:
        """Raises OSError where the store cannot be reached, or its folder not written, or it has no such bucket."""
        if not self._local:
            try:
                self._list(self._root)
            except FileNotFoundError:  # nothing is stored yet, or there is not even the bucket
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
            raise PermissionError(f"{folder} is not to be written")

    def delete(self, location: str) -> None:
        """Removes the file; one that is gone already is no error."""
        path = self._path(location)
        if self._exists(path):
            with _reported():
                self._fs.rm_file(path)

    def delete_tree(self, location: str) -> None:
        """Removes everything below `location`; nothing there is no error."""
        path = self._path(location)
        if self._exists(path):
            with _reported():
                self._fs.rm(path, recursive=True)

    def size_tree(self, location: str) -> int:
        """Bytes of all the files below `location`."""
        path = self._path(location)
        if not self._exists(path):
            return 0
        with _reported():
            return sum(self._fs.sizes(self._fs.find(path)))

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
            return [found[len(self._root.rstrip("/")) + 1:] for found in self._fs.find(path)]

    def _path(self, location: str) -> str:
        parts = location.split("/")
        if not all(parts) or any(part in (".", "..") for part in parts) or "\\" in location or "\x00" in location:
            raise ValueError(f"not a location inside the artifact store: {location!r}")
        return f"{self._root.rstrip('/')}/{location}"


@contextmanager
def _reported() -> Iterator[None]:
    """Each kind of store has exceptions of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"the store does not answer: {error}") from error
