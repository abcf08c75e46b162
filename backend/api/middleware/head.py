"""Answer HEAD wherever GET is possible."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api import stream_tokens
from densitylab.backend.api.errors import respond


class Head:
    """ASGI middleware: the headers of the GET, without its content; 405 for event streams, which have no end.

    The scope of the request has `head`, by which a route can spare the work for the content.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        if stream_tokens.PATHS.fullmatch(scope["path"]):
            refusal = respond(405, f"HEAD is not possible at {scope['path']}; expected GET", headers={"Allow": "GET"})
            await refusal(scope, receive, send)
            return

        async def without_content(message: Message) -> None:
            scope["route"] = inner.get("route")  # for the log
            if message["type"] != "http.response.body":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        inner = {**scope, "method": "GET", "head": True}
        await self.app(inner, receive, without_content)
