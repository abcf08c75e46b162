"""Record the latency of every request for Prometheus, and log it if the log is in JSON."""

import logging
import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api.middleware.route_label import route_label
from densitylab.backend.shared.callers import LOCAL

logger = logging.getLogger(__name__)
QUIET = ("/healthz", "/readyz", "/metrics")  # polled every few seconds
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class AccessLog:
    """ASGI middleware: record method, path, status, time to the first byte, and caller.

    Args:
        registry: of the latency histogram.
        lines: log a line per request; off on a terminal, which the page's polling would fill.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, *, lines: bool) -> None:
        self.app = app
        self._lines = lines
        self._seconds = Histogram(
            "densitylab_request_seconds",
            "Time to the first byte of a response.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._record(scope, message["status"], time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, watched)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        self._seconds.labels(scope["method"], route_label(scope), status).observe(seconds)
        if self._lines and scope["path"] not in QUIET:
            caller = scope["state"].get("caller", LOCAL).name
            logger.info("%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1000, caller)
