"""Write a line for every change, in the transaction that makes it: caller, request, time."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.shared.callers import LOCAL
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import audit

logger = logging.getLogger(__name__)
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class _Line:
    """The audit line of one request; `number` is its id once it is written."""

    scope: Scope
    number: int | None = None

    @property
    def expected_status(self) -> int:
        """Return the status of the route's success."""
        return getattr(self.scope.get("route"), "status_code", None) or 200


_current: ContextVar[_Line | None] = ContextVar("audit", default=None)


def note_change(session: Session) -> None:
    """Add the current request's line to its first write transaction (see `Database`): a change and its line are stored
    together or not at all. A refused request, or one that only reads, leaves no line."""
    line = _current.get()
    if line is None or line.number is not None:
        return
    query = line.scope["query_string"].decode("latin-1")
    line.number = audit.append(
        session,
        caller=line.scope["state"].get("caller", LOCAL),
        method=line.scope["method"],
        path=line.scope["path"] + (f"?{query}" if query else ""),
        status=line.expected_status,
        request_id=line.scope["state"]["request_id"],
    )


class Audit:
    """ASGI middleware: complete a line with the response's Location, and its status if that is not the expected one."""

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

        reset_token = _current.set(line)
        try:
            await self.app(scope, receive, completed)
        finally:
            _current.reset(reset_token)


def _complete(database: Database, number: int, status: int, location: str | None) -> None:
    try:
        with database.write() as session:
            audit.complete(session, number, status=status, location=location)
    except SQLAlchemyError as error:
        # The change is committed and has its line: the caller still gets the response
        logger.error(
            "audit line %d: cannot store status %d and location %s: %s",
            number,
            status,
            location,
            getattr(error, "orig", None) or error,
        )
