"""Monitoring: metrics for Prometheus, JSON log lines with ids, and readiness."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from densitylab.backend.api.app import create_app
from densitylab.backend.shared import log_format
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import events, tasks
from densitylab.backend.shared.tables import TaskRow

ROOT = Path(__file__).parents[3]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: TestClient, **headers: str) -> Samples:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_prometheus_is_told_of_tasks_queues_and_requests(client: TestClient, work: Any, database: Database):
    done, failed, running = work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    work.train(done)
    work.end(work.start(failed), Status.FAILED, "no")
    held = work.start(running)
    with database.write() as session:
        tasks.renew(session, held, lease_seconds=15, memory_bytes=2**30)
    client.get(f"/api/v1/runs/{done}")
    client.get("/api/v1/runs/999")
    told = scrape(client)
    assert told[key("densitylab_tasks", kind="train", status="succeeded")] == 1
    assert told[key("densitylab_tasks", kind="train", status="failed")] == 1
    assert told[key("densitylab_oldest_task_seconds", kind="train", status="running")] >= 0
    assert told[key("densitylab_worker_busy", worker="w", kind="train", device="cpu")] == 1
    assert told[key("densitylab_task_memory_bytes", worker="w", of="process")] == 2**30
    assert key("densitylab_task_memory_bytes", worker="w", of="gpu") not in told
    assert told[key("densitylab_queue_jobs", queue="train")] == 0
    assert told[key("densitylab_workers", queue="train")] == 0
    assert told[key("densitylab_database_up")] == told[key("densitylab_broker_up")] == 1
    assert told[key("densitylab_queue_oldest_seconds", queue="train")] == 0
    (build,) = [labels for name, labels in told if name == "densitylab_build_info"]
    assert {"version"} <= {name for name, _ in build}
    assert told[key("process_resident_memory_bytes", pid=str(os.getpid()))] > 2**20
    assert told[key("process_cpu_seconds_total", pid=str(os.getpid()))] > 0
    route = "/api/v1/runs/{run_id}"
    assert told[key("densitylab_request_seconds_count", method="GET", route=route, status="200")] == 1
    assert told[key("densitylab_request_seconds_count", method="GET", route=route, status="404")] == 1


def test_routes_of_the_same_ending_are_told_apart(client: TestClient, work: Any):
    (run_id,) = work.launch({"evaluations": []})
    scrape(client)
    client.get("/api/v1/metrics", params={"run": run_id})
    client.head(f"/api/v1/runs/{run_id}")
    client.get("/docs")
    client.get("/nothing")
    told = scrape(client)
    for method, route in (
        ("GET", "/metrics"),
        ("GET", "/api/v1/metrics"),
        ("HEAD", "/api/v1/runs/{run_id}"),
        ("GET", "/docs"),
    ):
        assert told[key("densitylab_request_seconds_count", method=method, route=route, status="200")] == 1, route
    assert told[key("densitylab_request_seconds_count", method="GET", route="none", status="404")] == 1


def test_ended_runs_stay_counted(client: TestClient, work: Any, database: Database):
    def ended() -> list[float]:
        told = scrape(client)
        return [told[key("densitylab_runs_ended_total", status=end)] for end in ("succeeded", "failed", "cancelled")]

    assert ended() == [0, 0, 0]
    first, second, third, _ = work.launch({"evaluations": []}, {"seed": [0, 1, 2, 3]})
    work.train(first)
    work.end(work.start(second), Status.FAILED, "no")
    client.post(f"/api/v1/runs/{third}/cancel")
    assert ended() == [1, 1, 1]
    client.post(f"/api/v1/runs/{third}/retry")
    client.post(f"/api/v1/runs/{third}/cancel")
    client.delete(f"/api/v1/runs/{second}").raise_for_status()
    client.delete(f"/api/v1/runs/{third}").raise_for_status()
    assert ended() == [1, 1, 2]
    with database.write() as session:
        events.forget(session, now(session) + 1, 1000)
    assert ended() == [1, 1, 2]


def test_a_queue_has_the_age_of_its_oldest_task(client: TestClient, database: Database):
    client.post("/api/v1/experiments", json={"name": "a", "priority": "high"})
    with database.write() as session:
        session.execute(update(TaskRow).values(created_at=TaskRow.created_at - 120))
    told = scrape(client)
    assert 120 <= told[key("densitylab_queue_oldest_seconds", queue="train-high")] < 240
    assert told[key("densitylab_queue_oldest_seconds", queue="evaluate")] == 0  # these follow the training


def test_what_is_down_is_a_number_too(tmp_path: Path):
    nowhere = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path}/missing/folder/x.sqlite")
    with TestClient(create_app(nowhere)) as client:
        told = scrape(client)
    assert told[key("densitylab_database_up")] == told[key("densitylab_broker_up")] == 0


def test_where_a_token_is_asked_for_prometheus_needs_one_too(settings: Settings):
    token = Settings(home=settings.home, api_token="secret").api_token
    with TestClient(create_app(settings.model_copy(update={"api_token": token}))) as client:
        assert client.get("/metrics").status_code == 401
        assert scrape(client, Authorization="Bearer secret")


def test_ready_says_what_is_wrong(
    client: TestClient, work: Any, database: Database, settings: Settings, own_broker: Any
):
    work.launch({"evaluations": []})
    with database.write() as session:
        session.execute(update(TaskRow).values(created_at=TaskRow.created_at - 120))
    (undelivered,) = [line for line in client.get("/readyz").json()["degraded"] if "reconciler" in line]
    assert undelivered.startswith("Tasks have waited 12")
    elsewhere = settings.model_copy(update={"redis_url": own_broker.url, "artifacts_url": "/proc/no/such"})
    with TestClient(create_app(elsewhere)) as other:
        wrong = other.get("/readyz").json()["degraded"]
    assert any(line.startswith("The broker does not answer") for line in wrong)


def test_a_line_of_the_log_is_json_with_its_ids():
    record = logging.LogRecord("a.b", logging.WARNING, "f", 1, "said %s", ("so",), None)
    held = log_format.log_context.set({"run": 7, "task": 9})
    try:
        line = json.loads(log_format.JsonLines().format(record))
    finally:
        log_format.log_context.reset(held)
    assert (line["level"], line["message"], line["run"], line["task"]) == ("warning", "said so", 7, 9)


@pytest.mark.timeout(60)
def test_a_request_has_one_line_with_its_id(settings: Settings):
    code = (
        "from fastapi.testclient import TestClient; from densitylab.backend.api.app import create_app\n"
        "with TestClient(create_app()) as client: client.get('/api/v1/runs/5', headers={'X-Request-ID': 'mine'})"
    )
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_LOG_FORMAT": "json",
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (line,) = [line for line in lines if line["logger"] == "densitylab.backend.api.middleware.access_log"]
    assert line["request"] == "mine" and line["message"].startswith("GET /api/v1/runs/5 404 ")
