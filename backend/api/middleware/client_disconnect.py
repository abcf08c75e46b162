"""Ignore clients that disconnect in the middle of a stream."""

import logging

from anyio import BrokenResourceError, ClosedResourceError
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)


class ClientDisconnect:
    """ASGI middleware: catch what FastAPI's event streams raise when they write to a client that has disconnected."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except* (BrokenResourceError, ClosedResourceError):
            logger.debug("the client disconnected from %s", scope["path"])
