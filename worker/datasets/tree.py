"""Files by relative name, in a folder or in a zip archive alike: an archive is read where it lies, never unpacked."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

MAX_FILES = 2_000_000
MAX_FILE_BYTES = 64 * 2**20
MAX_RATIO = 100  # unpacked to packed: photographs hardly shrink, a bomb does by thousands
FREE_BYTES = 2**30  # below which no ratio is looked at


class BadTree(ValueError):
    """The folder or archive cannot be used; the message says why."""


class Tree(Protocol):
    """Where files are read from."""

    names: list[str]  # relative, with forward slashes, sorted

    def read(self, name: str) -> bytes:
        """The file's content. Raises BadTree."""
        ...


class Folder:
    """The files below a folder. Links that lead out of it are refused."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.names = sorted(
            path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if not path.is_dir()
        )
        if len(self.names) > MAX_FILES:
            raise BadTree(f"{root} holds {len(self.names):,} files; at most {MAX_FILES:,} are taken")

    def read(self, name: str) -> bytes:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise BadTree(f"{name} is a link out of the folder")
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise BadTree(f"{name} can't be read: {error.strerror}") from None


class Archive:
    """The files of a zip archive that stays inside itself: no climbing paths, no links, no bomb."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        members = [member for member in file.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES:
            raise BadTree(f"the archive holds {len(members):,} files; at most {MAX_FILES:,} are taken")
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
                raise BadTree(f"the archive holds the path {member.filename!r}, which leads out of it")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise BadTree(f"the archive holds a link, {member.filename!r}: put the file itself there")
            if member.flag_bits & 1:
                raise BadTree(f"{member.filename} is encrypted: pack it without a password")
        whole, packed = (sum(sizes) for sizes in zip(*((m.file_size, m.compress_size) for m in members), strict=True)) \
            if members else (0, 0)
        if whole > FREE_BYTES and whole > MAX_RATIO * packed:
            raise BadTree(f"the archive would unpack to {whole / 2**30:,.0f} GiB, {MAX_RATIO} times its size and more")
        self._members = {member.filename: member for member in members}
        self.names = sorted(self._members)

    def read(self, name: str) -> bytes:
        if self._members[name].file_size > MAX_FILE_BYTES:
            raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            with self._file.open(self._members[name]) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
            raise BadTree(f"{name} can't be unpacked: {error}") from None
        if len(content) > MAX_FILE_BYTES:
            raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        return content


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """The tree of a folder, or of a zip archive. Raises BadTree."""
    if path.is_dir():
        yield Folder(path)
        return
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(file)
    except FileNotFoundError:
        raise BadTree(f"there is no folder or archive {path}") from None
    except zipfile.BadZipFile as error:
        raise BadTree(f"{path.name} is not a whole zip archive ({error})") from None
