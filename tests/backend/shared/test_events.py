"""Every new status is an event, in order, without loss, over a stream that can be resumed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import BrokenResourceError, ClosedResourceError
from sqlalchemy import delete, update

from densitylab.backend.api.middleware.client_disconnect import ClientDisconnect
from densitylab.backend.reconciler import System, reclaim_expired_leases
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import events, runs, tasks
from densitylab.backend.shared.tables import EventRow
from tests.servers import free_port

ROOT = Path(__file__).parents[3]


def told(database: Database, after: int = 0) -> list[tuple[str, int]]:
    with database.read() as session:
        return [(item.type, item.run) for item in map(events.answer, events.since(session, after))]


def test_the_whole_life_of_a_run_is_told(work: Any, database: Database):
    (run_id,) = work.launch({"evaluations": []})
    work.train(run_id)
    work.finish_evaluations(run_id)
    names = ["run.queued", "run.running", "run.succeeded", "evaluation.running", "evaluation.succeeded"]
    names += ["run.measured", "experiment.finished"]
    assert told(database) == [(name, run_id) for name in names]


def test_a_failure_is_told_with_its_error_and_cancels_what_follows(work: Any, database: Database):
    (run_id,) = work.launch({"evaluations": []})
    work.end(work.start(run_id), Status.FAILED, "out of memory")
    with database.read() as session:
        last = [events.answer(row) for row in events.since(session, 0)][-3:]
    assert [(item.type, item.error) for item in last] == [
        ("run.failed", "out of memory"),
        ("evaluation.cancelled", None),
        ("experiment.finished", None),
    ]


def test_work_that_was_given_up_taken_back_cancelled_or_retried_is_told(work: Any, system: System):
    (run_id,) = work.launch({"evaluations": []})
    held = work.start(run_id)
    with system.database.write() as session:
        tasks.release(session, held)
    work.start(run_id)
    work.age_lease(held.task_id)
    reclaim_expired_leases(system)
    with system.database.write() as session:
        tasks.request_cancel(session, held.task_id)
        tasks.retry(session, held.task_id)
    assert [name for name, _ in told(system.database)] == [
        "run.queued",
        "run.running",
        "run.queued",
        "run.running",
        "run.queued",
        "run.cancelled",
        "evaluation.cancelled",
        "experiment.finished",
        "run.queued",
        "evaluation.queued",
    ]


def test_a_missing_id_is_waited_for_until_it_cannot_come_any_more(work: Any, database: Database):
    work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    with database.write() as session:
        session.execute(delete(EventRow).where(EventRow.id == 2))  # as if its transaction were still at work
    with database.read() as session:
        assert [row.id for row in events.since(session, 0)] == [1]
    with database.write() as session:
        session.execute(update(EventRow).values(at=EventRow.at - events.SETTLED_SECONDS))
    with database.read() as session:
        assert [row.id for row in events.since(session, 0)] == [1, 3]


# ---- the streams, from a server of its own: a test client would wait for their end --------------------------------


class Server:
    def __init__(self, settings: Settings, **more: str) -> None:
        port = free_port()
        environment = {
            **os.environ,
            "DENSITYLAB_HOME": str(settings.home),
            "DENSITYLAB_API_PORT": str(port),
            "DENSITYLAB_REDIS_URL": settings.redis_url,
            "DENSITYLAB_DATABASE_URL": settings.database_url,
            **more,
        }
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "--factory",
                "densitylab.backend.api.app:create_app",
                "--port",
                str(port),
                "--log-level",
                "warning",
            ],
            env=environment,
            cwd=ROOT,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{self.url}/catalog")
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the API did not start"
                time.sleep(0.1)

    def read(
        self,
        path: str,
        last: int | None,
        until: str,
        seen: list[dict[str, str]] | None = None,
        ready: threading.Event | None = None,
    ) -> list[dict[str, str]]:
        """Return the events of a stream up to the first with the name or comment `until`."""
        seen = [] if seen is None else seen
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        with httpx.stream("GET", f"{self.url}{path}", headers=headers, timeout=20) as answer:
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                if not line:
                    seen.append(event)
                    if ready is not None:
                        ready.set()
                    if until in event.values():
                        break
                    event = {}
                else:
                    name, _, value = line.partition(":")
                    event[name] = value.strip()
        return seen


@pytest.fixture
def server(settings: Settings, system: System) -> Iterator[Server]:
    server = Server(settings)
    yield server
    server.process.kill()
    server.process.wait()


def test_a_stream_goes_on_where_it_was_left(server: Server, work: Any):
    other, run_id = work.launch({"evaluations": []}, {"seed": [0, 1]})
    seen: list[dict[str, str]] = []
    ready = threading.Event()
    listener = threading.Thread(target=server.read, args=("/events", None, "run.succeeded", seen, ready))
    listener.start()
    assert ready.wait(20)
    work.train(run_id)
    listener.join(20)
    assert [item.get("event") for item in seen] == [None, "run.running", "run.succeeded"]
    assert json.loads(seen[1]["data"])["run"] == run_id
    # Cut off after the first, and back later: nothing is missing, nothing comes twice
    work.train(other)
    again = server.read("/events", int(seen[1]["id"]), "run.running")
    assert [(item["event"], json.loads(item["data"])["run"]) for item in again] == [
        ("run.succeeded", run_id),
        ("run.running", other),
    ]


def test_a_stream_after_an_event_that_a_restored_backup_does_not_have_tells_of_new_ones(server: Server, work: Any):
    (run_id,) = work.launch({"evaluations": []})
    seen: list[dict[str, str]] = []
    ready = threading.Event()
    listener = threading.Thread(target=server.read, args=("/events", 2**31 - 1, "run.succeeded", seen, ready))
    listener.start()
    assert ready.wait(20)
    work.train(run_id)
    listener.join(20)
    assert [item.get("event") for item in seen] == [None, "run.running", "run.succeeded"]
    assert int(seen[0]["id"]) < int(seen[1]["id"])


def test_a_stream_after_two_events_at_once_is_refused(server: Server):
    refused = httpx.get(f"{server.url}/events", headers=[("Last-Event-ID", "1"), ("Last-Event-ID", "2")])
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/header/Last-Event-ID"


def test_a_runs_stream_tells_of_that_run_and_of_its_progress(server: Server, work: Any, database: Database):
    run_id, other = work.launch({"evaluations": []}, {"seed": [0, 1]})
    work.train(other)
    held = work.start(run_id)
    with database.write() as session:
        tasks.renew(session, held, lease_seconds=60, stage="epoch 3", progress=0.25)
        runs.set_metrics(session, run_id, {"loss": 0.5})
    seen = server.read(f"/runs/{run_id}/events", 0, "progress")
    assert [item["event"] for item in seen] == ["run.queued", "run.running", "progress"]
    assert "id" not in seen[-1]
    told = json.loads(seen[-1]["data"])
    assert (told["stage"], told["progress"], told["metrics"]) == ("epoch 3", 0.25, {"loss": 0.5})
    assert httpx.get(f"{server.url}/runs/999/events").status_code == 404


@pytest.mark.parametrize("error", [BrokenResourceError(), ClosedResourceError()])
def test_a_caller_who_leaves_a_stream_is_no_error_and_all_else_is(error: Exception):
    def raising(*errors: Exception) -> ClientDisconnect:
        async def app(*_asgi: Any) -> None:
            raise BaseExceptionGroup("of a stream", errors)

        return ClientDisconnect(app)

    async def nothing(*_asgi: Any) -> Any:
        return None

    scope = {"type": "http", "path": "/events"}
    asyncio.run(raising(error)(scope, nothing, nothing))
    with pytest.raises(BaseExceptionGroup) as kept:
        asyncio.run(raising(error, KeyError("a bug"))(scope, nothing, nothing))
    assert [type(item) for item in kept.value.exceptions] == [KeyError]


def test_a_server_that_is_told_to_stop_ends_its_streams(server: Server):
    ended = threading.Event()
    ready = threading.Event()

    def listen() -> None:
        server.read("/events", None, "no such event", ready=ready)  # returns when the server ends the stream
        ended.set()

    threading.Thread(target=listen).start()
    assert ready.wait(20)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=20)  # there is no limit of uvicorn's own: without ours it would wait for ever
    assert ended.wait(5)
