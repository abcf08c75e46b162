"""What happens, as it happens: server-sent events.

A stream has an event with an id for every new status, a comment every 15 s where nothing happens, and ends when the
server stops. A client that comes back with `Last-Event-ID` gets what it has missed.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from backend.api.dependencies import DatabaseDep
from backend.api.problems import ApiError, responses
from backend.api.routes.runs import RunId, found
from backend.shared.contracts import Progress, Run
from backend.shared.database import Database
from backend.shared.store import events, runs

router = APIRouter(tags=["events"])
POLL_SECONDS = 0.5
BATCH = 50  # events that are read at once: who has missed thousands gets the first ones soon
MAX_STREAMS = 100
_slots = threading.BoundedSemaphore(MAX_STREAMS)

LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=2**31 - 1, description="go on after it; else from now")
]


def _slot() -> Iterator[None]:
    if not _slots.acquire(blocking=False):
        raise ApiError(503, f"{MAX_STREAMS} streams are open already; close one", headers={"Retry-After": "10"})
    try:
        yield
    finally:
        _slots.release()


def _existing(run_id: RunId, database: DatabaseDep) -> Run:
    # Closed before the stream begins: a session held as long as that would keep its connection
    with database.read() as session:
        return found(runs.get(session, run_id), run_id)


@router.get("/events", response_class=EventSourceResponse, dependencies=[Depends(_slot)], responses=responses(422))
async def stream_events(
    request: Request, database: DatabaseDep, last: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """Every new status of every run and evaluation, as an `Event` named by its type."""
    place = _Place(database, last)
    while not request.app.state.stopping.is_set():
        for event in await run_in_threadpool(place.next):
            yield event
        if not place.behind:
            await asyncio.sleep(POLL_SECONDS)


@router.get(
    "/runs/{run_id}/events", response_class=EventSourceResponse, dependencies=[Depends(_slot)],
    responses=responses(404, 422),
)
async def stream_run(
    run: Annotated[Run, Depends(_existing)], request: Request, database: DatabaseDep, last: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """Every new status of the run and its evaluations, as an `Event` named by its type; between them, without an id,
    `progress`: stage, share, time left and the latest value of each curve, whenever one of them changes."""
    place = _Place(database, last, run.id)
    shown: Progress | None = None
    while not request.app.state.stopping.is_set():
        for event in await run_in_threadpool(place.next):
            yield event
        if place.behind:
            continue
        progress = await run_in_threadpool(_progress, database, run.id)
        if progress is None:
            return  # deleted
        if progress != shown:
            yield ServerSentEvent(event="progress", data=progress)
            shown = progress
        await asyncio.sleep(POLL_SECONDS)


class _Place:
    """How far one stream has come."""

    def __init__(self, database: Database, last: int | None, run_id: int | None = None) -> None:
        self._database, self._last, self._run_id = database, last, run_id
        self.behind = False  # whether more has happened already

    def next(self) -> list[ServerSentEvent]:
        with self._database.read() as session:
            if self._last is None:
                self._last = events.head(session)
                # So that a client that is cut off before anything has happened can go on from here
                return [ServerSentEvent(comment="from here on", id=str(self._last))]
            rows = events.since(session, self._last, BATCH)
        self.behind = len(rows) == BATCH
        if rows:
            self._last = rows[-1].id
        wanted = [events.answer(row) for row in rows if self._run_id in (None, row.run_id)]
        return [ServerSentEvent(event=item.type, data=item, id=str(item.id)) for item in wanted]


def _progress(database: Database, run_id: int) -> Progress | None:
    with database.read() as session:
        run = runs.get(session, run_id)
    if run is None:
        return None
    return Progress(stage=run.stage, progress=run.progress, eta_seconds=run.eta_seconds, metrics=run.metrics)
