"""Serve below the path of a public address, such as https://example.org/lab."""

from densitylab.backend.shared.asgi.types import App, Message, Receive, Scope, Send


class PathPrefix:
    """ASGI middleware: remove the prefix from the path of a request, and put it before the response's Location.

    Requests without the prefix pass unchanged, so a proxy may remove it, and clients on this machine need not know it.

    Args:
        prefix: "" or a path without a slash at its end, such as "/lab".
    """

    def __init__(self, app: App, prefix: str) -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self._prefix:
            await self.app(scope, receive, send)
            return

        async def prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, self._below(name, value)) for name, value in message.get("headers", ())]
            await send(message)

        path = scope["path"]
        if path == self._prefix and scope["type"] == "http":
            await _redirect(f"{self._prefix}/", scope["query_string"], send)
            return
        if path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
            raw = scope.get("raw_path")
            scope = {**scope, "path": path, "raw_path": raw and raw.removeprefix(self._prefix.encode())}
        await self.app(scope, receive, prefixed)

    def _below(self, name: bytes, value: bytes) -> bytes:
        if name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
            return self._prefix.encode() + value
        return value


async def _redirect(path: str, query: bytes, send: Send) -> None:
    location = path.encode() + (b"?" + query if query else b"")
    headers = [(b"location", location), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
