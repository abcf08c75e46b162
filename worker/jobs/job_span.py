"""A span of each attempt at a task with OpenTelemetry, in the trace of the request that made the task."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from densitylab.backend.shared import tracing
from densitylab.backend.shared.store.tasks import Claim

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@contextmanager
def job_span(task: Claim) -> Iterator[None]:
    """Record a span around an attempt at a task, if traces are on; it is sent when the attempt ends."""
    source = _provider()
    if source is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    attributes: dict[str, str | int] = {
        "densitylab.task": task.task_id,
        "densitylab.kind": task.kind,
        "densitylab.attempt": task.attempt,
    }
    if task.run_id is not None:
        attributes["densitylab.run"] = task.run_id
    parent = task.payload.get(tracing.TRACEPARENT)
    with tracing.span(source, f"{task.kind} job", SpanKind.CONSUMER, parent, attributes):
        yield


@cache  # by process: it is made after the fork of a job
def _provider() -> "TracerProvider | None":
    return tracing.provider("densitylab-worker", batched=False)
