"""Published files: the ones that the user has placed, in torchvision's layout, or else downloaded and checked."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from worker.stopped import Stopped

TIMEOUT = httpx.Timeout(30, connect=10)
_CHUNK = 2**20


class Unavailable(ValueError):
    """A file is neither there nor to be had, or is not what was published; the message says what to do."""


@dataclass(frozen=True)
class Published:
    """A file as its authors publish it.

    Args:
        name: of the file.
        folder: where torchvision keeps it, below its root.
        urls: tried in this order.
        md5: the published check sum, as torchvision has it; None where none is published.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    md5: str | None


@dataclass(frozen=True)
class Source:
    """Where a data set's published files are looked for.

    Args:
        placed: the root under which users keep torchvision's data sets; it is only read.
        downloads: where what is downloaded stays, to be removed with the data set.
    """

    placed: Path
    downloads: Path

    def find(self, relative: str) -> Path | None:
        """The file or folder that the user has placed there, or None."""
        path = self.placed / relative
        return path if path.exists() else None

    def obtain(
        self, file: Published, *, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
    ) -> Path:
        """The file, placed or downloaded.

        Args:
            file: which one.
            check_sums: whether a placed file must have the published sum. A downloaded one always must.
            progress: told the fraction of the download.
            should_stop: asked during the download.

        Raises:
            Unavailable: it can't be had, or its check sum differs.
            Stopped: `should_stop()` answered True.
        """
        placed = self.placed / file.folder / file.name
        if placed.exists():
            if check_sums:
                require_md5(placed, file.md5)
            return placed
        return _download(file, self.downloads / file.name, placed, progress, should_stop)


def require_md5(path: Path, md5: str | None) -> None:
    """Raises Unavailable where the file's MD5 sum is not `md5`; None, where none is published, lets everything pass."""
    if md5 is not None and md5_of(path) != md5:
        raise Unavailable(
            f"{path} does not have its published check sum (MD5 {md5}): it is incomplete or was changed. Replace it, "
            "or prepare with check_sums off to take it as it is."
        )


def md5_of(path: Path) -> str:
    """The MD5 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(
    file: Published, target: Path, by_hand: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> Path:
    """Fetches the file to `target`, going on where an earlier attempt stopped."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    with _held(target.with_name(f"{target.name}.lock"), should_stop):
        if not target.exists():
            _fetch(file, partial, by_hand, progress, should_stop)
            if file.md5 is not None and md5_of(partial) != file.md5:
                partial.unlink()
                raise Unavailable(
                    f"What {urlsplit(file.urls[0]).hostname} sent as {file.name} does not have the published check sum "
                    f"(MD5 {file.md5}), and was thrown away. Try again later, or put the file at {by_hand} by hand."
                )
            partial.replace(target)
    progress(1.0)
    return target


def _fetch(
    file: Published, partial: Path, by_hand: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> None:
    why = ""
    for url in file.urls:
        try:
            _fetch_from(url, partial, progress, should_stop)
            return
        except httpx.HTTPStatusError as error:
            why = f"{urlsplit(url).hostname} answers {error.response.status_code}"
        except httpx.TransportError as error:
            why = f"{urlsplit(url).hostname} can't be reached ({str(error) or type(error).__name__})"
    raise Unavailable(
        f"{file.name} could not be downloaded: {why}. Download {file.urls[0]} elsewhere, put it at {by_hand}, then "
        "prepare again."
    )


def _fetch_from(url: str, partial: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as answer:
        if have and answer.status_code == 416:  # nothing is left to send, or the file there is another one
            return
        answer.raise_for_status()
        # a server that knows no ranges sends the whole file again
        have = have if answer.status_code == 206 else 0
        total = have + int(answer.headers.get("Content-Length", 0))
        with partial.open("ab" if have else "wb") as file:
            for chunk in answer.iter_raw(_CHUNK):
                if should_stop():
                    raise Stopped(f"the download of {url} was stopped")
                file.write(chunk)
                have += len(chunk)
                if total:
                    progress(min(1.0, have / total))


@contextmanager
def _held(lock: Path, should_stop: Callable[[], bool]) -> Iterator[None]:
    """While another preparation downloads the same file, this one waits for it."""
    with lock.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if should_stop():
                    raise Stopped("the preparation was stopped") from None
                time.sleep(0.2)
        yield
