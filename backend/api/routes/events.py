"""Live events as server-sent events.

A stream has an event with an id for every new status, a comment every 15 s without events, and ends when the server
stops, or the token is revoked. A client that reconnects with `Last-Event-ID`, or `?after=`, gets the events that it has
missed.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Row

from densitylab.backend.api.client_address import client_address
from densitylab.backend.api.dependencies import CallerDep, DatabaseDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.api.single_header import require_single
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import Progress, Run
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import events, runs, tokens

router = resource_router("events")
POLL_SECONDS = 0.5
BATCH = 50  # events read at once: a client that has missed thousands gets the first ones soon

LastEventId = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=2**31 - 1, description="continue after this event; default: from now on"),
]
After = Annotated[
    int | None,
    Query(
        ge=0,
        le=2**31 - 1,
        description="as Last-Event-ID, for clients that cannot send headers; that header, if there is one, counts",
    ),
]
StreamToken = Annotated[str | None, Query(max_length=200, description="a token of POST /stream-tokens")]


async def _last_event(
    request: Request,
    last: LastEventId = None,
    after: After = None,
    stream_token: StreamToken = None,  # read by the middleware
) -> int | None:
    require_single(request, "Last-Event-ID")
    return after if last is None else last


LastEvent = Annotated[int | None, Depends(_last_event)]


async def _slot(request: Request) -> AsyncIterator[None]:
    with request.app.state.stream_slots.taken(client_address(request.scope["client"])):
        yield


def _existing(run_id: RunId, database: DatabaseDep) -> Run:
    # The session is closed before the stream begins: a stream would keep its connection
    with database.read() as session:
        return get_run(session, run_id)


@router.get("/events", response_class=EventSourceResponse, dependencies=[Depends(_slot)], responses=responses(422))
async def stream_events(
    request: Request, database: DatabaseDep, caller: CallerDep, last: LastEvent
) -> AsyncIterator[ServerSentEvent]:
    """Stream every new status of every run and evaluation, as an `Event` named by its type."""
    position = _Position(database, caller, last)
    while not (request.app.state.stopping.is_set() or position.revoked):
        for event in await run_in_threadpool(position.next):
            yield event
        if not position.behind:
            await asyncio.sleep(POLL_SECONDS)


@router.get(
    "/runs/{run_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(_slot)],
    responses=responses(404, 422),
)
async def stream_run(
    run: Annotated[Run, Depends(_existing)],
    request: Request,
    database: DatabaseDep,
    caller: CallerDep,
    last: LastEvent,
) -> AsyncIterator[ServerSentEvent]:
    """Stream every new status of the run and its evaluations, as an `Event` named by its type, and without an id a
    `progress` event whenever the stage, the progress, the time left or the latest value of a curve changes."""
    position = _Position(database, caller, last, run.id)
    shown: Progress | None = None
    while not request.app.state.stopping.is_set():
        for event in await run_in_threadpool(position.next):
            yield event
        if position.revoked:
            return
        if position.behind:
            continue
        progress = await run_in_threadpool(_progress, database, run.id)
        if progress is None:
            return  # deleted
        if progress != shown:
            yield ServerSentEvent(event="progress", data=progress)
            shown = progress
        await asyncio.sleep(POLL_SECONDS)


class _Position:
    """The last event that one stream has sent."""

    def __init__(self, database: Database, caller: Caller, last: int | None, run_id: int | None = None) -> None:
        self._database, self._caller, self._last, self._run_id = database, caller, last, run_id
        self._begun = False
        self.behind = False  # whether more events are waiting
        self.revoked = False  # whether the caller's token was revoked since

    def next(self) -> list[ServerSentEvent]:
        with self._database.read() as session:
            self.revoked = not tokens.valid(session, self._caller)
            if self.revoked:
                return []
            if self._last is None or not self._begun:
                self._begun, newest = True, events.head(session)
                # A later id is of an event that a restored backup does not have
                if self._last is None or self._last > newest:
                    self._last = newest
                    # A client that is disconnected before the first event can continue from this id
                    return [ServerSentEvent(comment="from here on", id=str(newest))]
            rows = events.since(session, self._last, BATCH)
        self.behind = len(rows) == BATCH
        if rows:
            self._last = rows[-1].id
        wanted = [events.answer(row) for row in rows if self._wants(row)]
        return [ServerSentEvent(event=item.type, data=item, id=str(item.id)) for item in wanted]

    def _wants(self, row: Row) -> bool:
        return self._run_id is None or (row.run_id == self._run_id and row.kind != events.EXPERIMENT)


def _progress(database: Database, run_id: int) -> Progress | None:
    with database.read() as session:
        run = runs.get(session, run_id)
    if run is None:
        return None
    return Progress(stage=run.stage, progress=run.progress, eta_seconds=run.eta_seconds, metrics=run.metrics)
