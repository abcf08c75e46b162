"""Refuse what pages of other sites open in a visitor's browser: Streamlit acts for whoever holds its WebSocket."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

_READING = ("GET", "HEAD", "OPTIONS")


class SameOrigin:
    """ASGI middleware: refuse WebSockets, and requests that change something, with the Origin of another page.

    Programs send no Origin, and pass.

    Args:
        public_url: the page's address behind a proxy, whose origin is allowed although the proxy may name another
            host; "" without one.
    """

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self._public = urlsplit(public_url)[:2]  # scheme, host and port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reading = scope["type"] == "http" and scope["method"] in _READING
        if scope["type"] == "lifespan" or reading or self._same(Headers(scope=scope)):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse("refused a request from a page of another site", 403)(scope, receive, send)
        else:
            await WebSocketClose(code=1008)(scope, receive, send)

    def _same(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is None or urlsplit(origin)[:2] == self._public or urlsplit(origin).netloc == headers.get("host")
