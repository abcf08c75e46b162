"""Zip archives that are sent while they are written."""

import zipfile
from collections.abc import Iterable, Iterator
from typing import IO

_CHUNK = 2**20


class _Buffer:
    """A file that can only be written, whose content is taken out piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `take` empties the buffer."""

    def close(self) -> None:
        """Do nothing: the archive does not close a file that it was given."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def zip_stream(folder: str, files: Iterable[tuple[str, bytes | IO[bytes]]]) -> Iterator[bytes]:
    """Yield an archive with one folder, without compression, which weights do not gain by. Open files are closed.

    Args:
        folder: name of the folder.
        files: name in the folder, and content.
    """
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(f"{folder}/{name}")  # of 1980, so that equal files give equal archives
            entry.external_attr = 0o644 << 16
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                yield buffer.take()
                continue
            with content, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := content.read(_CHUNK):
                    target.write(chunk)
                    yield buffer.take()
    yield buffer.take()
