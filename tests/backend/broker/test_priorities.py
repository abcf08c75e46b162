"""Priorities: high before normal before low, in the real broker and in a run's queue position."""

import random
from typing import Any

from fastapi.testclient import TestClient
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from sqlalchemy import text

from densitylab.backend import reconciler
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import TRAINING_QUEUES, Status
from densitylab.backend.shared.store import outbox

LAUNCH = "/api/v1/experiments"


def launch(client: TestClient, priority: str | None = None, runs: int = 1) -> list[int]:
    body: dict[str, Any] = {"spec": {"evaluations": []}, "sweep": {"seed": list(range(runs))}}
    answer = client.post(LAUNCH, json=body if priority is None else {**body, "priority": priority})
    assert answer.status_code == 202
    return answer.json()["runs"]


def run(client: TestClient, run_id: int) -> dict[str, Any]:
    return client.get(f"/api/v1/runs/{run_id}").json()


def test_a_worker_takes_high_before_normal_before_low(client: TestClient, rq_queues: Any):
    low, normal, high = launch(client, "low", 2), launch(client, None, 2), launch(client, "high", 2)
    expected = [run(client, run_id)["task"] for run_id in (*high, *normal, *low)]
    queues = rq_queues(TRAINING_QUEUES)
    worker = SimpleWorker(queues, connection=queues[0].connection, serializer=JSONSerializer)
    taken = [worker.dequeue_job_and_maintain_ttl(timeout=None)[0].args[0] for _ in expected]
    assert taken == expected


def test_workers_take_runs_seed_by_seed_with_the_baseline_first(client: TestClient, rq_queues: Any):
    sweep = {"lambda_": [1, 0], "seed": [0, 1, 2]}
    launched = client.post(LAUNCH, json={"spec": {"evaluations": []}, "sweep": sweep}).json()
    added = client.post(f"{LAUNCH}/{launched['id']}/runs", json={"seeds": [3, 4]}).json()["added"]
    runs = [*launched["runs"], *added]
    points = [(spec["lambda_"], spec["seed"]) for spec in (run(client, run_id)["spec"] for run_id in runs)]
    assert points == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (0, 3), (0, 4)]
    by_task = {run(client, run_id)["task"]: run_id for run_id in runs}
    queues = rq_queues(TRAINING_QUEUES)
    worker = SimpleWorker(queues, connection=queues[0].connection, serializer=JSONSerializer)
    taken = [by_task[worker.dequeue_job_and_maintain_ttl(timeout=None)[0].args[0]] for _ in runs]
    assert taken == [runs[place] for place in (3, 0, 4, 1, 5, 2, 8, 6, 9, 7)]


def test_retried_runs_and_evaluations_go_seed_by_seed(client: TestClient, system: System):
    sweep = {"lambda_": [1, 0], "seed": [0, 1, 2]}
    runs = client.post(LAUNCH, json={"spec": {"evaluations": [{"key": "accuracy"}]}, "sweep": sweep}).json()["runs"]
    for action in ("cancel", "retry"):
        client.post("/api/v1/bulk/runs", json={"action": action, "runs": runs})
    expected = [runs[place] for place in (3, 0, 4, 1, 5, 2)]
    assert [run(client, run_id)["queue_position"] for run_id in expected] == [1, 2, 3, 4, 5, 6]
    with system.database.write() as session:
        session.execute(text("UPDATE tasks SET status = 'succeeded' WHERE kind = 'train'"))
    with system.database.read() as session:
        ready = [item.task_id for item in outbox.undelivered(session) if item.kind == "evaluate"]
        of_task = {row.id: row.run_id for row in session.execute(text("SELECT id, run_id FROM tasks"))}
    assert [of_task[task_id] for task_id in ready] == expected


def test_a_queued_run_tells_its_place(client: TestClient, work: Any):
    low, normal, high = launch(client, "low", 2), launch(client, None), launch(client, "high")
    listed = client.get("/api/v1/runs", params={"sort": "id"}).json()["items"]
    assert [(item["priority"], item["queue_position"]) for item in listed] == [
        ("low", 3),
        ("low", 4),
        ("normal", 2),
        ("high", 1),
    ]
    held = work.start(high[0])
    assert [run(client, number)["queue_position"] for number in (*low, *normal, *high)] == [2, 3, 1, None]
    work.end(held, Status.FAILED, "e")
    client.post(f"/api/v1/runs/{normal[0]}/cancel")
    assert [run(client, number)["queue_position"] for number in low] == [1, 2]
    client.post(f"/api/v1/runs/{high[0]}/retry")  # keeps its priority
    assert [run(client, number)["queue_position"] for number in (*high, *low)] == [1, 2, 3]


def test_what_waited_for_the_broker_goes_out_by_priority(client: TestClient, system: System, monkeypatch: Any):
    def down(*_: Any) -> None:
        raise BrokerUnavailable("it is down")

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "deliver", down)
        (low,), (high,) = launch(client, "low"), launch(client, "high")
    assert [run(client, number)["queue_position"] for number in (high, low)] == [1, 2]
    with system.database.read() as session:
        trainings = [item for item in outbox.undelivered(session) if item.kind == "train"]
    assert [item.task_id for item in trainings] == [run(client, high)["task"], run(client, low)["task"]]


def test_measures_and_data_have_no_lanes(client: TestClient, system: System, work: Any):
    answer = client.post(LAUNCH, json={"priority": "low"}).json()
    work.train(answer["runs"][0])
    with system.database.read() as session:
        ranks = set(session.execute(text("SELECT kind, priority FROM tasks")).all())
    assert ranks == {("train", -1), ("evaluate", -1), ("prepare", 0)}


def test_an_unknown_priority_is_named(client: TestClient):
    answer = client.post(LAUNCH, json={"priority": "urgent"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": "/priority", "detail": "expected 'high', 'normal' or 'low'; got \"urgent\""}
    ]


def test_the_place_of_a_run_is_that_in_the_queues(client: TestClient, system: System, rq_queues: Any):
    runs = [number for priority in ("low", None, "high", "low", "high") for number in launch(client, priority, 4)]
    chance = random.Random(0)
    for _ in range(3):
        for number in chance.sample(runs, 8):
            client.post(f"/api/v1/runs/{number}/cancel")
        for number in chance.sample(runs, 8):
            client.post(f"/api/v1/runs/{number}/retry")
        client.post("/api/v1/bulk/runs", json={"action": "cancel", "runs": chance.sample(runs, 3)})
    reconciler.compare_queues(system)
    reconciler.deliver_queued_tasks(system)
    tasks = [int(found.split("-")[1]) for queue in rq_queues(TRAINING_QUEUES) for found in queue.job_ids]
    listed = client.get("/api/v1/runs", params={"status": "queued", "limit": 200}).json()["items"]
    assert {item["task"]: item["queue_position"] for item in listed} == {
        task: place for place, task in enumerate(tasks, 1)
    }
