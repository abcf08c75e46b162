"""Record a span of every request with OpenTelemetry, which the tasks that it makes carry on."""

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from densitylab.backend.api.middleware.access_log import QUIET
from densitylab.backend.api.middleware.route_label import route_label
from densitylab.backend.shared import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Tracing:
    """ASGI middleware: a span from the request to the end of its response, in the trace of its `traceparent` header.

    Args:
        provider: of the tracer.
    """

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        self.app = app
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, StatusCode

        attributes = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "densitylab.request": scope["state"]["request_id"],
        }
        parent = Headers(scope=scope).get(tracing.TRACEPARENT)
        with tracing.span(self._provider, scope["method"], SpanKind.SERVER, parent, attributes) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route, status = route_label(scope), message["status"]
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attributes({"http.route": route, "http.response.status_code": status})
                    if status >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self.app(scope, receive, watched)
