"""Token bucket per client address."""

import math
import time
from collections import OrderedDict

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api.client_address import client_address
from densitylab.backend.api.errors import respond

BURST_SECONDS = 2.0  # capacity of a bucket, in seconds of the rate
REFUSED_TOKEN_COST = 20.0  # requests; slows down guessing of tokens
_ADDRESSES = 10_000  # stored at most; the least recently seen is dropped first


class RateLimit:
    """ASGI middleware: 429 with Retry-After if the bucket of a client address is empty.

    Every answer has the limit and what is left of it (draft-ietf-httpapi-ratelimit-headers): `r` requests now, all of
    the `q` again after `t` seconds.

    Args:
        rate: sustained requests per second of one address.
    """

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self.app = app
        self._rate, self._burst = rate, rate * BURST_SECONDS
        self._policy = f'"address";q={math.ceil(self._burst)};w={math.ceil(BURST_SECONDS)}'
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (level, when)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = client_address(scope["client"])
        wait = self._take_one(address)
        if wait > 0:
            detail = f"more than {self._rate:g} requests per second from {address}; slow down"
            answer = respond(429, detail, headers={"Retry-After": str(math.ceil(wait)), **self._headers(address)})
            await answer(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 401:
                    self._charge(address, REFUSED_TOKEN_COST)
                MutableHeaders(scope=message).update(self._headers(address))
            await send(message)

        await self.app(scope, receive, watched)

    def _headers(self, address: str) -> dict[str, str]:
        level = self._level(address)
        seconds = math.ceil((self._burst - level) / self._rate)
        return {"RateLimit-Policy": self._policy, "RateLimit": f'"address";r={max(0, math.ceil(level))};t={seconds}'}

    def _take_one(self, address: str) -> float:
        """Take one request from the bucket unless it is empty; return the seconds to wait, 0 if there was one."""
        level = self._level(address)
        if level > 0:
            self._charge(address, 1.0)
            return 0.0
        return max(-level / self._rate, 1e-3)

    def _charge(self, address: str, cost: float) -> None:
        self._buckets[address] = (self._level(address) - cost, time.monotonic())

    def _level(self, address: str) -> float:
        """Return the present level of the bucket, and mark the address as the most recently seen."""
        at = time.monotonic()
        level, since = self._buckets.pop(address, (self._burst, at))
        level = min(self._burst, level + (at - since) * self._rate)
        self._buckets[address] = (level, at)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return level
