"""Refuse bodies that are too large or too deeply nested, before they are parsed. Images may be larger."""

import re
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api.authentication import READING
from densitylab.backend.api.errors import respond

MAX_BYTES = 2**20
MAX_IMAGE_BYTES = 8 * 2**20
IMAGES_PATH = "/api/v1/uploads"
MAX_ARCHIVE_BYTES = 2 * 2**30
ARCHIVE_PATHS = ("/api/v1/registrations/archive", "/api/v1/registrations/preview/archive")
MODEL_PATHS = ("/api/v1/models/file", "/api/v1/models/inspect")
_FORM_BYTES = 2**20  # of a form beside its file
MAX_DEPTH = 64
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class BodyLimit:
    """ASGI middleware: 413 over 1 MiB (8 MiB for images), with or without Content-Length; 400 for nesting beyond 64
    levels. A body is read when the route asks for it; that of a GET, HEAD or OPTIONS request is ignored.

    Args:
        app: the next one.
        model_bytes: largest file of a model.
    """

    def __init__(self, app: ASGIApp, model_bytes: int) -> None:
        self.app = app
        self._model_limit = model_bytes + _FORM_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] in READING:
            await self.app(scope, _after(_empty, receive), send)
            return
        path, length = scope["path"], dict(scope["headers"]).get(b"content-length", b"")
        if path in (*ARCHIVE_PATHS, *MODEL_PATHS) and scope["method"] == "POST":
            # Passed on in chunks, so it must be announced; the server enforces its Content-Length
            limit, first = MAX_ARCHIVE_BYTES if path in ARCHIVE_PATHS else self._model_limit, receive
            if not length.isdigit():
                await respond(411, "expected a Content-Length")(scope, receive, send)
                return
        else:
            image = path == IMAGES_PATH
            limit = MAX_IMAGE_BYTES if image else MAX_BYTES
            first = _after(lambda: _whole(receive, limit, nested=not image), receive)
        if length.isdigit() and int(length) > limit:
            await respond(413, _too_large(limit))(scope, receive, send)
            return
        await self.app(scope, first, send)


def _after(first: Callable[[], Awaitable[Message]], receive: Receive) -> Receive:
    """Return a `receive` whose first message is that of `first`."""
    waiting = [first]

    async def received() -> Message:
        return await (waiting.pop() if waiting else receive)()

    return received


async def _empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _whole(receive: Receive, limit: int, *, nested: bool) -> Message:
    """Return the whole body as one message. Raises HTTPException, which FastAPI passes on where it reads a body."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise HTTPException(400, "the body ended early")
        body += message.get("body", b"")
        if len(body) > limit:
            raise HTTPException(413, _too_large(limit))
        more = message.get("more_body", False)
    if nested and _depth(bytes(body)) > MAX_DEPTH:
        raise HTTPException(400, f"the body is nested more than {MAX_DEPTH} levels deep")
    return {"type": "http.request", "body": bytes(body), "more_body": False}


def _too_large(limit: int) -> str:
    return f"expected a body of at most {limit} bytes"


def _depth(body: bytes) -> int:
    """Return the deepest nesting of brackets outside strings."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        depth += 1 if bracket.group() in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
