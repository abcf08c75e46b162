"""Compress answers with gzip for clients that accept it."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MINIMUM_BYTES = 1024
_LEVEL = 4  # of 9; higher ones take longer for little
_MARK = '-gzip"'  # at the end of the tag of a compressed answer: another form has another tag
_REFUSED = re.compile(rb"\bgzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)
_CONDITIONS = (b"if-match", b"if-none-match")


class Compression:
    """ASGI middleware: gzip from 1 KiB on. Event streams, parts of files, and files whose content is compressed already
    or of an unknown kind, are sent as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._gzip = GZipMiddleware(
            app,
            MINIMUM_BYTES,
            _LEVEL,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream", "application/x-npz"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._gzip(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                compressed = headers.get("content-encoding") == "gzip"
                if message["status"] == 304:
                    headers.add_vary_header("Accept-Encoding")
                    compressed = accepted and _marked(headers.get("etag", "")) in known
                if compressed and "etag" in headers:
                    headers["ETag"] = _marked(headers["etag"])
            await send(message)

        headers = [item for item in scope["headers"] if item[0] != b"accept-encoding" or not _REFUSED.search(item[1])]
        accepted = any(name == b"accept-encoding" and b"gzip" in value for name, value in headers)
        # To a client that accepts no gzip, what it has of it is not the present content
        unmarked = _CONDITIONS if accepted else _CONDITIONS[:1]
        scope["headers"] = [
            (name, value.replace(_MARK.encode(), b'"') if name in unmarked else value) for name, value in headers
        ]
        await self._gzip(scope, receive, marked)


def _marked(tag: str) -> str:
    return tag[:-1] + _MARK
