"""Join the lines of conditional headers, which are lists."""

from starlette.types import ASGIApp, Receive, Scope, Send

_LISTS = (b"if-match", b"if-none-match")


class HeaderLists:
    """ASGI middleware: several lines of If-Match or If-None-Match become one list (RFC 9110, 5.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name in _LISTS:
                lines = [value for key, value in scope["headers"] if key == name]
                if len(lines) > 1:
                    others = [item for item in scope["headers"] if item[0] != name]
                    scope["headers"] = [*others, (name, b", ".join(lines))]
        await self.app(scope, receive, send)
