"""Locks: a worker, a delivery or a deletion, and a request for the same rows. None of them deadlocks."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import text

from densitylab.backend.shared.contracts import Status, Value
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import evaluations, experiments, outbox, runs, tasks

Ask = Callable[[TestClient, int], Response]
CANCELS = {
    "cancel": lambda client, run_id: client.post(f"/api/v1/runs/{run_id}/cancel"),
    "bulk": lambda client, run_id: client.post("/api/v1/bulk/runs", json={"action": "cancel", "runs": [run_id]}),
}


@pytest.fixture(params=CANCELS)
def cancel(request: pytest.FixtureRequest) -> Ask:
    return CANCELS[request.param]


def waits_for_a_lock(database: Database, answer: Future[Any]) -> None:
    """Wait until the other transaction waits for a lock of this test's."""
    if database.engine.dialect.name == "sqlite":
        time.sleep(0.3)  # SQLite has one lock, and nobody to ask who waits for it
    else:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 10
        with database.read() as session:
            while session.scalar(waiting) == 0:
                assert time.monotonic() < deadline, "it waits for nothing"
                time.sleep(0.01)
    assert not answer.done()


def test_a_training_that_writes_is_asked_to_stop(client: TestClient, work: Any, database: Database, cancel: Ask):
    (run_id,) = work.launch()
    held = work.start(run_id)
    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            tasks.fence(session, held)
            answer = thread.submit(cancel, client, run_id)
            waits_for_a_lock(database, answer)
            runs.set_metrics(session, run_id, {"loss": 0.5})
            tasks.renew(session, held, lease_seconds=15)
        assert answer.result().is_success
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert run["metrics"] == {"loss": 0.5} and run["stage"] == "stopping"


def test_a_measure_that_is_stored_ends_while_the_others_are_cancelled(
    client: TestClient, work: Any, database: Database, cancel: Ask
):
    (run_id,) = work.launch({"evaluations": [{"key": "accuracy"}, {"key": "leakage"}]})
    work.train(run_id)
    with database.read() as session:
        first, second = (item for item in evaluations.of_run(session, run_id))
    held = work.claim(second.task)
    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            tasks.fence(session, held)
            answer = thread.submit(cancel, client, run_id)
            waits_for_a_lock(database, answer)
            evaluations.store(
                session, second.id, values={"l2": Value(value=0.5)}, curves={}, flags=[], seconds=0.1, provenance={}
            )
            tasks.finish(session, held, Status.SUCCEEDED)
        assert answer.result().is_success
    items = client.get(f"/api/v1/runs/{run_id}/evaluations").json()["items"]
    assert {item["name"]: item["status"] for item in items} == {first.name: "cancelled", second.name: "succeeded"}


def test_what_is_delivered_is_cancelled_meanwhile(work: Any, database: Database):
    launched = work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    with database.read() as session:
        first, second, third = (runs.train_task(session, run_id) for run_id in launched)

    def take() -> list[int]:
        with database.write() as session:
            return [item.task_id for item in outbox.take(session, 500)]

    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            tasks.request_cancel(session, second)
            taken = thread.submit(take)
            if database.engine.dialect.name == "postgresql":  # SQLite has one lock
                assert taken.result(10) == [first, third], "a task that is being changed delays no other"
            tasks.request_cancel(session, third)
        taken.result(10)
    with database.read() as session:
        assert {tasks.get(session, task_id).status for task_id in (second, third)} == {Status.CANCELLED}


@pytest.mark.parametrize("what", ["runs", "experiments"])
def test_what_is_deleted_while_it_is_changed_is_missing(client: TestClient, work: Any, database: Database, what: str):
    (number,) = work.launch()  # of an experiment with the same number
    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            {"runs": runs, "experiments": experiments}[what].remove(session, number)
            session.flush()
            answer = thread.submit(client.patch, f"/api/v1/{what}/{number}", json={"notes": "late"})
            waits_for_a_lock(database, answer)
        assert answer.result().status_code == 404
