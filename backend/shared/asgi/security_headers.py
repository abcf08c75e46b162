"""Headers that tell browsers what an answer may do."""

from densitylab.backend.shared.asgi.types import App, Message, Receive, Scope, Send


class SecurityHeaders:
    """ASGI middleware: add a content security policy and what belongs to it, unless the response sets its own.

    Args:
        policy: the Content-Security-Policy. No other page may frame an answer, whatever it says.
    """

    def __init__(self, app: App, policy: str) -> None:
        self.app = app
        self._headers = {
            b"content-security-policy": f"{policy}; frame-ancestors 'none'".encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"same-origin",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                message["headers"] = headers + [item for item in self._headers.items() if item[0] not in present]
            await send(message)

        await self.app(scope, receive, completed if scope["type"] == "http" else send)
