"""Answers with a stored file, or a part of it."""

import base64
import io
import re
from collections.abc import Iterator
from typing import IO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from densitylab.backend.api.etags import etag, listed
from densitylab.backend.shared.artifacts import checksum
from densitylab.backend.shared.errors import DomainError

_CHUNK = 2**20
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")


class RangeNotSatisfiable(DomainError):
    """A range that begins behind the end of the file."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the file has {size} bytes; the range begins behind its end",
            "/header/Range",
            {"Content-Range": f"bytes */{size}"},
        )


def file_response(request: Request, file: IO[bytes], location: str, *, media_type: str, filename: str) -> Response:
    """Return an open file as a download, in chunks, and close it at the end.

    It has the file's checksum (RFC 9530) if it was stored with one, and a tag. A Range of one part gives 206; several
    parts, or an If-Range with another tag, the whole file.

    Raises:
        RangeNotSatisfiable: the range begins behind the end.
    """
    try:
        return _response(request, file, location, media_type, filename)
    except BaseException:
        file.close()
        raise


def _response(request: Request, file: IO[bytes], location: str, media_type: str, filename: str) -> Response:
    size = file.seek(0, io.SEEK_END)
    digest = checksum(location)
    tag = etag(location.encode()) if digest is None else f'"{digest}"'  # a location is never written again
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "ETag": tag,
    }
    if digest is not None:
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"
    if listed(request.headers.get("if-none-match"), tag, weak=True):
        file.close()
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        wanted = None
    span = _span(wanted, size)
    start, end = span or (0, size)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = 200 if span is None else 206
    if request.scope.get("head"):
        file.close()
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_chunks(file, start, end), status, headers, media_type)


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, end) of the requested bytes; None for the whole file, and for what is no range of one part."""
    parsed = _RANGE.fullmatch(wanted or "")
    if parsed is None or parsed.groups() == ("", ""):
        return None
    first, last = parsed.groups()
    if first == "":  # the last bytes
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, end


def _chunks(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = end - start
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise OSError("the stored file is shorter than it was")
            left -= len(chunk)
            yield chunk
