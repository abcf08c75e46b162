"""A collector of OpenTelemetry spans for tests: a real HTTP server that decodes what exporters send."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import serving


@dataclass(frozen=True)
class CollectedSpan:
    service: str
    name: str
    trace: str
    span: str
    parent: str
    failed: bool
    attributes: dict[str, Any]


@dataclass
class Collector:
    """The spans that have arrived, in their order; its address is that for OTEL_EXPORTER_OTLP_ENDPOINT."""

    address: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)

    def named(self, name: str, within: float = 20.0) -> CollectedSpan:
        """Return the first span with this name, once it has arrived."""
        deadline = time.monotonic() + within
        while True:
            found = next((span for span in list(self.spans) if span.name == name), None)
            if found is not None:
                return found
            assert time.monotonic() < deadline, f"no span {name!r} among {[span.name for span in self.spans]}"
            time.sleep(0.05)

    def take(self, body: bytes) -> None:
        for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(item.value.string_value for item in of_service.resource.attributes if _is_name(item))
            for scope in of_service.scope_spans:
                self.spans += [
                    CollectedSpan(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.status.code == span.status.STATUS_CODE_ERROR,
                        {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes},
                    )
                    for span in scope.spans
                ]


def _is_name(attribute: Any) -> bool:
    return bool(attribute.key == "service.name")


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                collector.take(body)
            self.send_response(200 if known else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler) as collector.address:
        yield collector
