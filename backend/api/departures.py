"""A caller who leaves in the middle of a stream is no error of ours."""

import logging

from anyio import BrokenResourceError, ClosedResourceError
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)


class Departures:
    """ASGI middleware: takes what FastAPI's event streams raise where they write to a caller that has just gone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except* (BrokenResourceError, ClosedResourceError):
            logger.debug("the caller left %s", scope["path"])
