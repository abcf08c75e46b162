"""Writes a line for every change before its answer goes out: who, what, when, in which request."""

import logging
from typing import Any

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.authentication import LOCAL
from backend.shared.database import Database
from backend.shared.store import audit

logger = logging.getLogger(__name__)
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class Audit:
    """ASGI middleware over all routes, those to come too: every method that changes something, if it succeeded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self.app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                query = scope["query_string"].decode("latin-1")
                line = {
                    "caller": scope["state"].get("caller", LOCAL), "method": scope["method"],
                    "path": scope["path"] + (f"?{query}" if query else ""), "status": message["status"],
                    "location": Headers(raw=message["headers"]).get("location"),
                    "request_id": scope["state"]["request_id"],
                }
                await run_in_threadpool(_write, scope["app"].state.database, line)
            await send(message)

        await self.app(scope, receive, noted)


def _write(database: Database, line: dict[str, Any]) -> None:
    try:
        with database.write() as session:
            audit.append(session, **line)
    except SQLAlchemyError as error:
        # The change is made: the caller shall hear so, and the log keeps the line
        logger.error("the audit could not be written (%s): %s", getattr(error, "orig", None) or error, line)
