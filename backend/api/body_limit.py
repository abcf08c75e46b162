"""Refuses bodies that are too large or nested too deeply, before anything parses them. An image may be larger."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import respond

MAX_BYTES = 2**20
MAX_IMAGE_BYTES = 8 * 2**20
IMAGES_AT = "/api/v1/uploads"
MAX_ARCHIVE_BYTES = 2 * 2**30
ARCHIVES_AT = "/api/v1/registrations/archive"
MAX_DEPTH = 64
# What is read and thrown away of a body that is too large, so that the sender is there to hear the answer
_MAX_DRAINED = 64 * MAX_BYTES
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class BodyLimit:
    """ASGI middleware: 413 over 1 MiB (8 MiB where images go), whether announced or sent in chunks; 400 for nesting
    beyond 64 levels."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == ARCHIVES_AT and scope["method"] == "POST":
            await self._stream(scope, receive, send)
            return
        image = scope["path"] == IMAGES_AT
        limit = MAX_IMAGE_BYTES if image else MAX_BYTES
        body, size, more = bytearray(), 0, True
        while more and size <= _MAX_DRAINED:
            message = await receive()
            if message["type"] != "http.request":
                return  # the sender has gone
            size += len(message.get("body", b""))
            if size <= limit:
                body += message.get("body", b"")
            more = message.get("more_body", False)
        if size > limit:
            await respond(413, f"expected a body of at most {limit} bytes")(scope, receive, send)
        elif not image and _depth(bytes(body)) > MAX_DEPTH:
            await respond(400, f"the body is nested more than {MAX_DEPTH} levels deep")(scope, receive, send)
        else:
            await self.app(scope, _replay(bytes(body), receive), send)


    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An archive goes to disk as it comes, so its size has to be announced; servers hold senders to that."""
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if not announced.isdigit():
            await respond(411, "expected a Content-Length")(scope, receive, send)
        elif int(announced) > MAX_ARCHIVE_BYTES:
            await respond(413, f"expected an archive of at most {MAX_ARCHIVE_BYTES} bytes")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _depth(body: bytes) -> int:
    """Deepest nesting of brackets outside strings."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        depth += 1 if bracket.group() in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
