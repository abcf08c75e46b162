"""An observation for Prometheus of every request, and a line in the log where the log is for machines."""

import logging
import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.authentication import LOCAL

logger = logging.getLogger(__name__)
_QUIET = ("/healthz", "/readyz", "/metrics")  # asked every few seconds by machines
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class AccessLog:
    """ASGI middleware: method, path, status, seconds and caller. A stream counts until its first byte.

    Args:
        registry: takes the histogram of latencies.
        lines: whether to log; a terminal with a page that asks twice a second would show little else.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, *, lines: bool) -> None:
        self.app = app
        self._lines = lines
        self._seconds = Histogram(
            "densitylab_request_seconds", "Time to the first byte of an answer.", ["method", "route", "status"],
            buckets=_BUCKETS, registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, watched)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The route (less its prefix) and not the path, which has as many values as there are runs
        route = getattr(scope.get("route"), "path", "none")
        self._seconds.labels(scope["method"], route, status).observe(seconds)
        if self._lines and scope["path"] not in _QUIET:
            caller = scope["state"].get("caller", LOCAL)
            logger.info("%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1000, caller)
