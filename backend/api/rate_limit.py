"""Holds back an address that asks too often, so that a script gone wild leaves the others their share."""

import math
import time
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import respond

BURST_SECONDS = 2.0  # of the rate, saved up while an address is quiet
REFUSED_TOKEN_COST = 20.0  # requests: guessing tokens is slow
_ADDRESSES = 10_000  # remembered at most; the one that was quiet longest is forgotten first


class RateLimit:
    """ASGI middleware: a token bucket per address; 429 with Retry-After where it is empty.

    Args:
        rate: requests a second that each address may make for ever.
    """

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self.app = app
        self._rate, self._burst = rate, rate * BURST_SECONDS
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (level, when)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._take_one(address)
        if wait > 0:
            detail = f"more than {self._rate:g} requests a second from {address}; slow down"
            answer = respond(429, detail, headers={"Retry-After": str(math.ceil(wait))})
            await answer(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._charge(address, REFUSED_TOKEN_COST)
            await send(message)

        await self.app(scope, receive, watched)

    def _take_one(self, address: str) -> float:
        """Takes one request from the bucket where it is not empty; returns the seconds until it is not."""
        level = self._level(address)
        if level > 0:
            self._charge(address, 1.0)
            return 0.0
        return max(-level / self._rate, 1e-3)

    def _charge(self, address: str, cost: float) -> None:
        self._buckets[address] = (self._level(address) - cost, time.monotonic())

    def _level(self, address: str) -> float:
        """What is in the bucket now; the address is then the one that was seen last."""
        at = time.monotonic()
        level, since = self._buckets.pop(address, (self._burst, at))
        level = min(self._burst, level + (at - since) * self._rate)
        self._buckets[address] = (level, at)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return level
