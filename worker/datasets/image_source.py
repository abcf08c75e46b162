"""Files by relative name, in a folder or in a zip archive, which is read without unpacking.

Names are valid Unicode in composed form (NFC), whatever bytes are stored, with forward slashes.
"""

from __future__ import annotations

import errno
import io
import lzma
import os
import re
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

MAX_FILES = 2_000_000
# An archive's directory is held in memory, by `zipfile` as some 700 bytes per entry
MAX_ENTRIES = 250_000
MAX_DIRECTORY_BYTES = 64 * 2**20
MAX_FILE_BYTES = 64 * 2**20
MAX_RATIO = 100  # unpacked to packed: about 1 for photographs, thousands for a zip bomb
_COPY_BYTES = 2**20
FREE_BYTES = 2**30  # the ratio of smaller archives is not checked


class BadTree(ValueError):
    """Raised if the folder or archive can't be used; the message says why."""


class Tree(Protocol):
    """A folder or archive of files."""

    names: list[str]  # of the readable files, sorted
    folders: list[str]
    problems: dict[str, str]  # by the name of a file or folder that can't be read: "NAME is …"
    scratch_folder: Path | None  # for temporary files; None: the system's

    def read(self, name: str) -> bytes:
        """Return the file's content. Raises BadTree."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file of any size on the disk; a packed one is unpacked to a temporary file. Raises BadTree."""
        ...


class Folder:
    """The regular files below a folder.

    Args:
        root: the folder.
        within: links to files and folders below it are followed; `root` unless given.
        scratch: folder for temporary files; None: the system's.
    """

    def __init__(self, root: Path, within: Path | None = None, scratch: Path | None = None) -> None:
        self._within = (within or root).resolve()
        self.scratch_folder = scratch
        self._paths: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        waiting: list[tuple[str, str, tuple[str, ...]]] = [("", str(root.resolve()), ())]
        while waiting:
            name, path, around = waiting.pop()
            for child, folder in self._children(name, path, (*around, os.path.realpath(path))):
                waiting.append((child, folder, (*around, os.path.realpath(path))))
            if len(self._paths) + len(self._folders) > MAX_FILES:
                raise BadTree(f"{root} holds more than {MAX_FILES:,} files")
        self.names, self.folders = sorted(self._paths), sorted(self._folders)

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
            try:
                return file.read(MAX_FILE_BYTES)
            except OSError as error:
                raise BadTree(f"{name} can't be read: {error.strerror}") from None

    def open(self, name: str) -> IO[bytes]:
        try:
            # without waiting: a pipe may have taken the file's place
            file = os.fdopen(os.open(self._paths[name], os.O_RDONLY | os.O_NONBLOCK), "rb")
        except OSError as error:
            raise BadTree(f"{name} can't be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise BadTree(f"{name} is not a regular file")
        return file

    def _children(self, name: str, path: str, around: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Enter the files and problems of a folder; yield (name, path) of the folders in it."""
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.problems[name] = f"the folder {name or path} can't be opened: {error.strerror}"
            return
        for entry in entries:
            child = self._name_of(name, entry)
            real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                self.problems[child] = f"{child} can't be read: {error.strerror}"
                continue
            if entry.is_symlink() and not Path(real).is_relative_to(self._within):
                self.problems[child] = f"{child} is a link out of the folder {_readable(os.fsencode(self._within))}"
            elif stat.S_ISDIR(mode) and real in around:
                self.problems[child] = f"{child} is a link to a folder around it"
            elif stat.S_ISDIR(mode):
                self._folders[child] = entry.path
                yield child, entry.path
            elif not stat.S_ISREG(mode):
                self.problems[child] = f"{child} is not a regular file"
            elif child in self._paths:
                self.problems[child] = f"{child} is there twice, in two forms of Unicode: rename one"
            else:
                self._paths[child] = entry.path

    def _name_of(self, folder: str, entry: os.DirEntry[str]) -> str:
        raw = os.fsencode(entry.name)
        inside = f"{folder}/" if folder else ""
        name = inside + _readable(raw)
        if "\ufffd" in name and (name in self._paths or name in self._folders):
            return inside + raw.decode("utf-8", "backslashreplace")  # another name that is not UTF-8
        return name


class Archive:
    """The regular files of a zip archive. Raises BadTree for a zip bomb."""

    def __init__(self, file: zipfile.ZipFile, scratch: Path | None = None) -> None:
        self._file = file
        self.scratch_folder = scratch
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.problems: dict[str, str] = {}
        folders = set()
        members = file.infolist()
        for member in members:
            path = _member_path(member)
            name = "/".join(part for part in path.split("/") if part not in ("", "."))
            kind = stat.S_IFMT(member.external_attr >> 16)
            if path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:(/|$)", path):
                self.problems[name] = f"the archive holds the path {path!r}, which leads out of it"
            elif path.endswith("/"):
                folders.add(name)
            elif kind == stat.S_IFLNK:
                self.problems[name] = f"the archive holds a link, {name!r}: put the file itself there"
            elif kind not in (0, stat.S_IFREG):
                self.problems[name] = f"{name} is not a regular file"
            elif member.flag_bits & 1:
                self.problems[name] = f"{name} is encrypted: pack it without a password"
            elif name in self._members and member.CRC != self._members[name].CRC:
                self.problems[name] = f"{name} is twice in the archive, with different content"
            else:
                self._members[name] = member
        whole, packed = (
            sum(sizes) for sizes in zip((0, 0), *((m.file_size, m.compress_size) for m in members), strict=True)
        )
        if whole > FREE_BYTES and whole > MAX_RATIO * packed:
            raise BadTree(f"the archive would unpack to {whole / 2**30:,.0f} GiB, {MAX_RATIO} times its size and more")
        self.names, self.folders = sorted(self._members), sorted(folders)

    def read(self, name: str) -> bytes:
        if self._members[name].file_size > MAX_FILE_BYTES:
            raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            with self._file.open(self._members[name]) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, *_DAMAGED) as error:
            raise BadTree(f"{name} can't be unpacked: {error}") from None
        if len(content) > MAX_FILE_BYTES:
            raise BadTree(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        return content

    def open(self, name: str) -> IO[bytes]:
        size, unpacked = self._members[name].file_size, scratch_file(self)
        try:
            with self._file.open(self._members[name]) as file:
                while block := file.read(_COPY_BYTES):
                    unpacked.write(block)
                    if unpacked.tell() > size:
                        raise BadTree(f"{name} is larger than the archive says")
            unpacked.seek(0)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, *_DAMAGED) as error:
            unpacked.close()
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            raise error if isinstance(error, BadTree) else BadTree(f"{name} can't be unpacked: {error}") from None
        except BaseException:
            unpacked.close()
            raise
        return unpacked


def scratch_file(tree: Tree) -> IO[bytes]:
    """Return a new file on the disk, which disappears when it is closed."""
    return tempfile.TemporaryFile(dir=tree.scratch_folder)


@contextmanager
def opened(
    path: Path, *, within: Path | None = None, name: str | None = None, scratch: Path | None = None
) -> Iterator[Tree]:
    """Open a folder or a zip archive.

    Args:
        path: of the folder or archive.
        within: see `Folder`.
        name: of the archive in error messages; the file's name unless given.
        scratch: folder for temporary files; None: the system's.

    Raises:
        BadTree: there is none, or it can't be used.
    """
    if path.is_dir():
        yield Folder(path, within, scratch)
        return
    if not path.exists():
        raise BadTree(f"there is no folder or archive {path}")
    if not path.is_file():
        raise BadTree(f"{path} is neither a folder nor a zip archive")
    with _ZipReader(open(path, "rb", buffering=0)) as file, _archive(file, name or path.name) as archive:
        yield Archive(archive, scratch)


def nested_archive(tree: Tree, name: str) -> Archive:
    """Return an archive within a folder or archive, such as an .npz. Raises BadTree."""
    # closed with the objects that refer to it
    return Archive(_archive(_ZipReader(tree.open(name).detach()), name), tree.scratch_folder)  # type: ignore[attr-defined]


def _archive(file: _ZipReader, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except BadTree:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, *_DAMAGED) as error:
        raise BadTree(f"{name} is not a complete zip archive ({error})") from None


_UNPACK = "register the unpacked images from a folder in the data folder"
_DAMAGED = (zlib.error, lzma.LZMAError, struct.error)


class _ZipReader(io.BufferedReader):
    """A zip file without the flag that says that a name is UTF-8, which is often wrong; see `_member_path`.

    Raises BadTree for a directory that is too large, before it is parsed.
    """

    _directory_read = False  # the directory is read first, then members

    def read(self, size: int | None = -1, /) -> bytes:
        if not self._directory_read and size is not None and size > MAX_DIRECTORY_BYTES:
            raise BadTree(f"the archive's directory is larger than {MAX_DIRECTORY_BYTES // 2**20} MiB: {_UNPACK}")
        content = super().read(size)
        if size == 30 and content.startswith(b"PK\x03\x04"):  # header of a member
            return content[:7] + bytes([content[7] & ~0x08]) + content[8:]
        if self._directory_read or not content.startswith(b"PK\x01\x02"):
            return content
        self._directory_read = True
        directory, start, entries = bytearray(content), 0, 0
        while directory[start : start + 4] == b"PK\x01\x02" and start + 46 <= len(directory):
            directory[start + 9] &= ~0x08
            start += 46 + sum(struct.unpack_from("<3H", directory, start + 28))
            entries += 1
            if entries > MAX_ENTRIES:
                raise BadTree(f"the archive has more than {MAX_ENTRIES:,} entries: {_UNPACK}")
        return bytes(directory)


def _member_path(member: zipfile.ZipInfo) -> str:
    """Return the path with forward slashes. The bytes are UTF-8 if they can be, else of the old code page."""
    raw = member.filename.encode("cp437")
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        path = member.filename
    return unicodedata.normalize("NFC", path).replace("\\", "/")


def _readable(raw: bytes) -> str:
    return unicodedata.normalize("NFC", raw.decode("utf-8", "replace"))
