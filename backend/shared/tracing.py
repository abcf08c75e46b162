"""OpenTelemetry traces from a request to the jobs of its tasks (extra `tracing`).

They are off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector. OpenTelemetry
reads its other variables itself, such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from densitylab.backend.shared.log_format import log_context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

TRACEPARENT = "traceparent"  # W3C Trace Context: a header of requests, and a key of a task's payload
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_REFUSED = "no traces are sent, since OpenTelemetry refuses its settings: %s"
_SECONDS = 2.0  # for which an export may take: the job process that sends it does no other work meanwhile

_log = logging.getLogger(__name__)
_current: ContextVar["Span | None"] = ContextVar("span", default=None)


@cache
def enabled() -> bool:
    """Return whether spans are recorded and sent; log a warning if a collector is named and they cannot be."""
    named = [name for name in _ENDPOINTS if os.environ.get(name)]
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ModuleNotFoundError:
        _log.warning("%s is set, but no traces are sent: pip install 'densitylab[tracing]'", named[0])
        return False
    except Exception as error:  # OpenTelemetry reads some of its variables when it is imported
        _log.warning(_REFUSED, error)
        return False
    return True


def provider(service: str, *, batched: bool) -> "TracerProvider | None":
    """Return a provider of tracers that sends spans to the collector; None where traces are off, or where a variable
    of OpenTelemetry is wrong, which is logged: a mistake in it stops no work.

    Args:
        service: name of the service, unless OTEL_SERVICE_NAME has another.
        batched: send in a thread, every few seconds; otherwise each span when it ends.
    """
    if not enabled():
        return None
    try:
        return _provider(service, batched=batched)
    except Exception as error:
        _log.warning(_REFUSED, error)
        return None


def _provider(service: str, *, batched: bool) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    resource = Resource.create({"service.name": name, "service.version": metadata.version("densitylab")})
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(timeout=_SECONDS)
    made.add_span_processor(BatchSpanProcessor(exporter) if batched else SimpleSpanProcessor(exporter))
    return made


@contextmanager
def span(
    source: "TracerProvider", name: str, kind: "SpanKind", parent: str | None, attributes: Mapping[str, str | int]
) -> Iterator["Span"]:
    """Record a span around the block; lines of the JSON log have its trace id as `trace`.

    Args:
        source: provider of the tracer.
        name: of the span.
        kind: SERVER for a request, CONSUMER for a job.
        parent: trace context of the span that caused this one; without one, or with an invalid one, a trace begins.
        attributes: of the span.
    """
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent} if parent else {})
    tracer = source.get_tracer("densitylab")
    with tracer.start_as_current_span(name, context=context, kind=kind, attributes=dict(attributes)) as made:
        ids = {**log_context.get(), "trace": format(made.get_span_context().trace_id, "032x")}
        reset_span, reset_ids = _current.set(made), log_context.set(ids)
        try:
            yield made
        finally:
            _current.reset(reset_span)
            log_context.reset(reset_ids)


def carried() -> dict[str, str]:
    """Return the trace context of the span around the caller, for the payload of a task; empty if there is none."""
    made = _current.get()
    if made is None:
        return {}
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(made))
    return {TRACEPARENT: carrier[TRACEPARENT]}


def note_failure(error: BaseException) -> None:
    """Mark the span around the caller, if there is one, as failed with this error."""
    made = _current.get()
    if made is None:
        return
    from opentelemetry.trace import StatusCode

    made.record_exception(error)
    made.set_status(StatusCode.ERROR, str(error))
