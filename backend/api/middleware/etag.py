"""Tag answers, and do not send what the client has already."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api.etags import etag, listed

_PATHS, _TAGGED = "/api/", ("GET", "PATCH")


class ETags:
    """ASGI middleware: an ETag of the content for every answer to a GET that is sent whole, and 304 if If-None-Match
    names it; and for the answer to a PATCH, which is the new content. Streams have none, and files their own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _TAGGED or not scope["path"].startswith(_PATHS):
            await self.app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match") if scope["method"] == "GET" else None
        start: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = Headers(raw=message["headers"])
                if "etag" not in headers and "content-length" in headers:
                    start = message  # sent with its tag, once the content is here
                    return
            if start is not None and message.get("more_body"):  # a stream, of which this is a part
                await send(start)
                start = None
            if start is not None:
                tag = etag(message.get("body", b""))
                headers = MutableHeaders(scope=start)
                headers["ETag"] = tag
                if listed(known, tag, weak=True):
                    start["status"], message = 304, {"type": "http.response.body", "body": b""}
                    for name in ("content-length", "content-type"):
                        del headers[name]
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, tagged)
