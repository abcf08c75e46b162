"""Downloads of files to disk."""

import hashlib
from collections.abc import Callable
from contextlib import aclosing
from os import PathLike
from pathlib import Path

import httpx

from densitylab.frontend.client.downloads import changed, sent_digest
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.transport import Sender


class FileRoutes(Sender):
    @sync_and_async
    async def download(
        self,
        run: int,
        name: str,
        path: str | PathLike[str],
        *,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Path:
        """Download a file of a run to disk, in pieces, and check it; return its path.

        The content lies in `PATH.part` until it is complete. An interrupted download continues there, also in a later
        call.

        Args:
            path: the new file, or a folder for a file of this name. A file that is there is replaced.
            progress: called with the number of bytes that are there, and of all (None: not known).

        Raises:
            ApiError: refused, no answer came, or the file changed on its way here.
            OSError: the file cannot be written.
        """
        target = Path(path) / name if Path(path).is_dir() else Path(path)
        part = target.with_name(f"{target.name}.part")
        while True:
            present = part.stat().st_size if part.exists() else 0
            try:
                answer = await self._send(
                    "GET",
                    f"/api/v1/runs/{run}/artifacts/{name}",
                    headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={present}-"} if present else {}),
                    stream=True,
                )
            except ApiError as error:
                if error.status != 416:
                    raise
                part.unlink()  # no shorter than the whole file
                continue
            continued = answer.status_code == 206
            start = present if continued else 0
            try:
                await self._store(answer, part, start, progress)
            except httpx.TransportError as error:
                if part.stat().st_size <= start:
                    raise self._no_answer(error) from None
                continue
            digest = sent_digest(answer)
            with part.open("rb") as file:
                same = digest == hashlib.file_digest(file, "sha256").digest()
            if same or (digest is None and not continued):
                return part.replace(target)
            part.unlink()
            if not continued:
                raise changed()

    async def _store(
        self, answer: httpx.Response, part: Path, start: int, progress: Callable[[int, int | None], None] | None
    ) -> None:
        """Write the content of an answer to a file, behind the first `start` bytes that are there."""
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        done = start
        async with aclosing(self._connection.chunks(answer)) as chunks:
            with part.open("ab" if start else "wb") as file:
                async for chunk in chunks:
                    file.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
