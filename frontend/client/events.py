"""What happens to runs, as it happens."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx

from backend.shared.contracts import Event, Progress
from frontend.client.both import both_iterate
from frontend.client.errors import ApiError
from frontend.client.sending import Sender

OUTAGE_SECONDS = 60.0  # what was there may be away for so long before it is given up
_RECONNECT_SECONDS = 0.5


class EventRoutes(Sender):
    @both_iterate
    async def events(self, run: int | None = None, *, after: int | None = None) -> AsyncIterator[Event | Progress]:
        """Every new status of every run and evaluation, from now on, until the caller stops; or of one run, with its
        `Progress` in between, until it is deleted.

        Where the stream is cut off it goes on from the event that came last: none is missed, none comes twice.

        Args:
            after: the id of an event, to go on after it: 0 gives all that is kept.

        Raises:
            ApiError: refused, or the API is away for a minute.
        """
        path = "/api/v1/events" if run is None else f"/api/v1/runs/{run}/events"
        last = None if after is None else str(after)
        lost: float | None = None  # when the stream was cut off; None: it was never open
        while True:
            try:
                answer = await self._send(
                    "GET", path, headers={"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {}),
                    stream=True,
                )
            except ApiError as error:
                if error.status == 404 and lost is not None:
                    return
                if not error.passing or lost is None or time.monotonic() - lost > OUTAGE_SECONDS:
                    raise
            else:
                try:
                    async with aclosing(self._connection.events(answer)) as items:
                        async for item in items:
                            last = item.id or last
                            if item.event == "progress":
                                yield Progress.model_validate_json(item.data)
                            elif item.data:  # a bare id says from where to go on
                                yield Event.model_validate_json(item.data)
                except httpx.TransportError:
                    pass  # cut off
                lost = time.monotonic()
            await self._connection.sleep(_RECONNECT_SECONDS)
