"""Compress answers with gzip for clients on other machines that accept it."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MINIMUM_BYTES = 1024
_LEVEL = 1  # of 9; on a page of runs, level 4 takes twice as long for a fifth fewer bytes
_LOCAL = ("127.0.0.1", "::1")  # a copy within the machine costs less than compression
_MARK = '-gzip"'  # at the end of the tag of a compressed answer: another form has another tag
_REFUSED = re.compile(rb"\bgzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)
_CONDITIONS = (b"if-match", b"if-none-match")


class Compression:
    """ASGI middleware: gzip from 1 KiB on. Event streams, parts of files, and files whose content is compressed already
    or of an unknown kind, are sent as they are; so is all to a client on this machine that is no proxy of another."""

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

        local = _is_local(scope)
        headers = [
            item
            for item in scope["headers"]
            if item[0] != b"accept-encoding" or not (local or _REFUSED.search(item[1]))
        ]
        accepted = any(name == b"accept-encoding" and b"gzip" in value for name, value in headers)
        # To a client that accepts no gzip, what it has of it is not the present content
        unmarked = _CONDITIONS if accepted else _CONDITIONS[:1]
        scope["headers"] = [
            (name, value.replace(_MARK.encode(), b'"') if name in unmarked else value) for name, value in headers
        ]
        await self._gzip(scope, receive, marked)


def _is_local(scope: Scope) -> bool:
    forwarded = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
    return not forwarded and scope["client"] is not None and scope["client"][0] in _LOCAL


def _marked(tag: str) -> str:
    return tag[:-1] + _MARK
