"""Events of runs, as they happen."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx

from densitylab.backend.shared.contracts import Event, Progress
from densitylab.frontend.client.dual_api import sync_and_async_iterator
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.transport import Sender

OUTAGE_SECONDS = 60.0  # without an answer, after which waiting ends
_RECONNECT_SECONDS = 0.5


class EventRoutes(Sender):
    @sync_and_async_iterator
    async def events(self, run: int | None = None, *, after: int | None = None) -> AsyncIterator[Event | Progress]:
        """Yield status changes of all runs and evaluations until the caller stops; or of one run, and its `Progress`,
        until it is deleted.

        After an interruption the stream continues after the last event: none is missed, and none comes twice.

        Args:
            run: id of the run; default: all runs.
            after: the id of an event, to continue after it; 0 gives all stored events. Default: new events only.

        Raises:
            ApiError: refused, or the API has not answered for a minute.
        """
        path = "/api/v1/events" if run is None else f"/api/v1/runs/{run}/events"
        last = None if after is None else str(after)
        lost: float | None = None  # time of the interruption; None: the stream was never open
        while True:
            try:
                answer = await self._send(
                    "GET",
                    path,
                    headers={"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {}),
                    stream=True,
                )
            except ApiError as error:
                if error.status == 404 and lost is not None:
                    return
                if not error.transient or lost is None or time.monotonic() - lost > OUTAGE_SECONDS:
                    raise
            else:
                try:
                    async with aclosing(self._connection.events(answer)) as items:
                        async for item in items:
                            last = item.id or last
                            if item.event == "progress":
                                yield Progress.model_validate_json(item.data)
                            elif item.data:  # an id without data only marks the position
                                yield Event.model_validate_json(item.data)
                except httpx.TransportError:
                    pass  # interrupted
                lost = time.monotonic()
            await self._connection.sleep(_RECONNECT_SECONDS)
