"""A line for every change, in the transaction that makes it: who, what, when, in which request."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.authentication import LOCAL
from backend.shared.database import Database
from backend.shared.store import audit

logger = logging.getLogger(__name__)
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class _Line:
    """What is noted of one request, and under which number it was."""

    scope: Scope
    number: int | None = None

    @property
    def expected_status(self) -> int:
        """What the route answers to what it has done."""
        return getattr(self.scope.get("route"), "status_code", None) or 200


_current: ContextVar[_Line | None] = ContextVar("audit", default=None)


def note_change(session: Session) -> None:
    """Puts the line of the request that is at work into its first write transaction (see `Database`): a change and
    its line are stored together or not at all, and what was refused or only asked leaves none."""
    line = _current.get()
    if line is None or line.number is not None:
        return
    query = line.scope["query_string"].decode("latin-1")
    line.number = audit.append(
        session, caller=line.scope["state"].get("caller", LOCAL), method=line.scope["method"],
        path=line.scope["path"] + (f"?{query}" if query else ""), status=line.expected_status,
        request_id=line.scope["state"]["request_id"],
    )


class Audit:
    """ASGI middleware over all routes, those to come too. Adds to a line what only the answer tells: where the new
    thing is, and a status other than the usual one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self.app(scope, receive, send)
            return
        line = _Line(scope)

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start" and line.number is not None:
                location = Headers(raw=message["headers"]).get("location")
                if location is not None or message["status"] != line.expected_status:
                    database = scope["app"].state.database
                    await run_in_threadpool(_complete, database, line.number, message["status"], location)
            await send(message)

        held = _current.set(line)
        try:
            await self.app(scope, receive, completed)
        finally:
            _current.reset(held)


def _complete(database: Database, number: int, status: int, location: str | None) -> None:
    try:
        with database.write() as session:
            audit.complete(session, number, status=status, location=location)
    except SQLAlchemyError as error:
        # The change is made and has its line: the caller shall hear of it all the same
        logger.error("line %d of the audit lacks status %d and location %s: %s", number, status, location,
                     getattr(error, "orig", None) or error)
