"""Traces of requests, received by a collector, and the trace context in the payloads of their tasks."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import backup_rows
from densitylab.backend.shared import tracing
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.tables import Base, TaskRow

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `tracing` is not installed")

from tests.otlp_collector import Collector, collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        tracing.enabled.cache_clear()
        yield collector
    tracing.enabled.cache_clear()


def payloads(database: Database) -> list[dict[str, Any]]:
    with database.read() as session:
        return list(session.scalars(select(TaskRow.payload)))


def test_a_request_is_a_span_of_its_callers_trace_and_its_tasks_carry_it(
    collector: Collector, settings: Settings, database: Database, work: Any
):
    work.prepare()
    with TestClient(create_app(settings)) as client:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "mine"}
        assert client.post("/api/v1/experiments", json={"name": "traced"}, headers=headers).status_code == 202
        client.get("/api/v1/runs/999999", headers={"traceparent": "nonsense"})
        client.get("/healthz")
    launch = collector.named("POST /api/v1/experiments")
    assert (launch.service, launch.trace, launch.parent) == ("densitylab-api", TRACE, PARENT)
    assert launch.attributes["densitylab.request"] == "mine" and not launch.failed
    assert launch.attributes["http.route"] == "/api/v1/experiments"
    assert launch.attributes["http.response.status_code"] == 202
    carried = [payload["traceparent"] for payload in payloads(database)]
    assert len(carried) >= 2 and set(carried) == {f"00-{TRACE}-{launch.span}-01"}  # a training and evaluations
    missing = next(span for span in collector.spans if span.attributes["http.response.status_code"] == 404)
    assert missing.trace != TRACE and missing.parent == "" and "999999" not in missing.name
    assert {span.attributes["url.path"] for span in collector.spans} == {"/api/v1/experiments", "/api/v1/runs/999999"}


def test_without_an_endpoint_nothing_is_recorded(client: TestClient, database: Database, work: Any):
    assert not tracing.enabled()
    work.prepare()
    given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert client.post("/api/v1/experiments", json={"name": "untraced"}, headers=given).status_code == 202
    assert payloads(database) and not any("traceparent" in payload for payload in payloads(database))


def test_a_collector_that_is_away_delays_no_request(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.enabled.cache_clear()
    try:
        with TestClient(create_app(settings)) as client:
            answer = client.get("/api/v1/runs")
            assert answer.status_code == 200 and answer.elapsed.total_seconds() < 1.0
    finally:
        tracing.enabled.cache_clear()


def test_missing_packages_are_named_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    tracing.enabled.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert not tracing.enabled() and not tracing.enabled()
        assert caplog.messages == [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, but no traces are sent: pip install 'densitylab[tracing]'"
        ]
    finally:
        tracing.enabled.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-4"),
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER", "nowhere"),
        ("OTEL_SDK_DISABLED", "true "),
    ],
)
def test_a_wrong_variable_stops_no_launch(
    name: str, value: str, settings: Settings, work: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    tracing.enabled.cache_clear()
    work.prepare()
    try:
        with TestClient(create_app(settings)) as client:
            assert client.post("/api/v1/experiments", json={"name": "untraced"}).status_code == 202
    finally:
        tracing.enabled.cache_clear()


def test_a_variable_that_opentelemetry_refuses_when_it_is_imported_is_named():
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"}
    source = "from densitylab.backend.shared import tracing; print(tracing.provider('a', batched=True))"
    ended = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, **wrong}, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "None\n" and "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in ended.stderr


def test_a_backup_of_a_task_that_carries_a_trace_is_restored(work: Any, database: Database):
    (run_id,) = work.launch()
    with database.read() as session:
        row = dict(session.execute(select(TaskRow.__table__).limit(1)).mappings().one())
    row |= {"kind": "export", "run_id": run_id, "payload": {"formats": ["safetensors"], "traceparent": "00-a-b-01"}}
    table = Base.metadata.tables["tasks"]
    assert list(backup_rows.decode(table, [backup_rows.encode(row)])) == [row]
