"""A span of each attempt at a task, in the trace that its payload carries."""

from collections.abc import Iterator
from typing import Any

import pytest

from densitylab.backend.shared import tracing
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import tasks
from densitylab.worker.jobs import job_span, task_runner

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `tracing` is not installed")

from tests.otlp_collector import Collector, collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
CARRIED = {"key": "digits", "params": {}, "traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    def forget() -> None:
        tracing.enabled.cache_clear()
        job_span._provider.cache_clear()

    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        forget()
        yield collector
    forget()


def task(lab: Any, payload: dict[str, Any]) -> int:
    with lab.database.write() as session:
        return int(tasks.create(session, TaskKind.PREPARE, payload=payload).id)


def finish(context: Any, lease: Any) -> None:
    with lease.writing() as session:
        tasks.create(session, TaskKind.PREPARE, payload={"key": "next", "params": {}})
        lease.finish(session, Status.SUCCEEDED)


def fail(context: Any, lease: Any) -> None:
    raise ValueError("no such data")


def test_a_job_is_a_child_of_the_request_and_its_own_tasks_follow(lab, collector: Collector):
    number = task(lab, CARRIED)
    task_runner.run_task(number, finish)
    (span,) = collector.spans
    assert (span.service, span.name, span.trace, span.parent) == ("densitylab-worker", "prepare job", TRACE, PARENT)
    assert span.attributes == {"densitylab.task": number, "densitylab.kind": "prepare", "densitylab.attempt": 1}
    assert not span.failed
    with lab.database.write() as session:
        following = tasks.claim(session, number + 1, worker="w", lease_seconds=15.0)
    assert following.payload["traceparent"] == f"00-{TRACE}-{span.span}-01"


def test_a_failed_job_without_a_request_is_a_failed_trace_of_its_own(lab, collector: Collector):
    number = task(lab, {"key": "digits", "params": {}})
    task_runner.run_task(number, fail)
    (span,) = collector.spans
    assert span.failed and span.parent == "" and span.trace != TRACE
    with lab.database.read() as session:
        assert tasks.get(session, number).status is Status.FAILED
