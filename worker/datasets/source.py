"""Published files: placed by the user in torchvision's layout, or downloaded and checked."""

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

from densitylab.worker.errors import Interrupted

TIMEOUT = httpx.Timeout(30, connect=10)
_CHUNK = 2**20


class Unavailable(ValueError):
    """Raised if a file is missing and can't be downloaded, or is not the published one; the message says what to do."""


@dataclass(frozen=True)
class Published:
    """A file as its authors publish it.

    Args:
        name: of the file.
        folder: its folder below torchvision's root.
        urls: tried in this order.
        md5: the published check sum, as in torchvision; None if none is published.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    md5: str | None


@dataclass(frozen=True)
class Source:
    """The folders of a data set's published files.

    Args:
        placed: the root of the user's torchvision data sets; it is only read.
        downloads: the folder of downloaded files, deleted with the data set.
    """

    placed: Path
    downloads: Path

    def find(self, relative: str) -> Path | None:
        """Return the file or folder that the user has placed there, or None."""
        path = self.placed / relative
        return path if path.exists() else None

    def obtain(
        self, file: Published, *, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
    ) -> Path:
        """Return the file, placed or downloaded.

        Args:
            file: to find.
            check_sums: whether a placed file must have the published check sum; a downloaded one always must.
            progress: called with the fraction of the download.
            should_stop: asked during the download.

        Raises:
            Unavailable: it can't be downloaded, or its check sum differs.
            Interrupted: `should_stop()` returned True.
        """
        placed = self.placed / file.folder / file.name
        if placed.exists():
            if check_sums:
                require_md5(placed, file.md5)
            return placed
        return _download(file, self.downloads / file.name, placed, progress, should_stop)


def require_md5(path: Path, md5: str | None) -> None:
    """Raise Unavailable if the file's MD5 sum is not `md5`; None, if none is published, accepts every file."""
    if md5 is not None and md5_of(path) != md5:
        raise Unavailable(
            f"{path} does not have its published check sum (MD5 {md5}): it is incomplete or was changed. Replace it, "
            "or prepare with check_sums off to take it as it is."
        )


def md5_of(path: Path) -> str:
    """Return the MD5 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(
    file: Published, target: Path, by_hand: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> Path:
    """Download the file to `target`, continuing an earlier attempt."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    with _locked(target.with_name(f"{target.name}.lock"), should_stop):
        if target.exists() and file.md5 is not None and md5_of(target) != file.md5:
            target.unlink()  # damaged since it was downloaded
        if not target.exists():
            _fetch(file, partial, by_hand, progress, should_stop)
            if file.md5 is not None and md5_of(partial) != file.md5:
                partial.unlink()
                raise Unavailable(
                    f"What {urlsplit(file.urls[0]).hostname} sent as {file.name} does not have the published check sum "
                    f"(MD5 {file.md5}), and was deleted. Try again later, or put the file at {by_hand} by hand."
                )
            partial.replace(target)
    progress(1.0)
    return target


def _fetch(
    file: Published, partial: Path, by_hand: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> None:
    reason = ""
    for url in file.urls:
        try:
            _fetch_from(url, partial, progress, should_stop)
            return
        except httpx.HTTPStatusError as error:
            reason = f"{urlsplit(url).hostname} answers {error.response.status_code}"
        except httpx.TransportError as error:
            reason = f"{urlsplit(url).hostname} can't be reached ({str(error) or type(error).__name__})"
        except ImportError:
            reason = 'the proxy in ALL_PROXY or HTTPS_PROXY is a SOCKS proxy, which needs pip install "httpx[socks]"'
        except (httpx.InvalidURL, ValueError):
            reason = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not the address of a proxy"
    raise Unavailable(
        f"{file.name} could not be downloaded: {reason}. Download {file.urls[0]} elsewhere, put it at {by_hand}, then "
        "prepare again."
    )


def _fetch_from(url: str, partial: Path, progress: Callable[[float], None], should_stop: Callable[[], bool]) -> None:
    downloaded = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={downloaded}-"} if downloaded else {}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if downloaded and response.status_code == 416:  # the file is complete, or has changed on the server
            return
        response.raise_for_status()
        # a server without support for ranges sends the whole file
        downloaded = downloaded if response.status_code == 206 else 0
        total = downloaded + int(response.headers.get("Content-Length", 0))
        with partial.open("ab" if downloaded else "wb") as file:
            for chunk in response.iter_raw(_CHUNK):
                if should_stop():
                    raise Interrupted(f"the download of {url} was stopped")
                file.write(chunk)
                downloaded += len(chunk)
                if total:
                    progress(min(1.0, downloaded / total))


@contextmanager
def _locked(lock: Path, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Wait while another preparation downloads the same file."""
    with lock.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if should_stop():
                    raise Interrupted("the preparation was stopped") from None
                time.sleep(0.2)
        yield
