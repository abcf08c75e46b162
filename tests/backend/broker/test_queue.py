"""Delivery, loss and outages with a real Valkey, and their repair by the reconciler."""

import json
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from densitylab.backend import reconciler
from densitylab.backend.api.app import create_app
from densitylab.backend.broker import delivery
from densitylab.backend.broker.delivery import Comparison
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.ops import migrate
from densitylab.backend.reconciler import System
from densitylab.backend.services import deletion
from densitylab.backend.services.pruning import Retention
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import LOAD_FIELD, TRAINING_QUEUES, QueueName, Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import attributions, instance, runs, tasks
from densitylab.backend.shared.store.outbox import Undelivered

CATALOG = Catalog.built_in()


@pytest.fixture
def lost_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count as lost what is on no queue, without the pause in which a worker claims it."""
    monkeypatch.setattr(delivery, "LOST_SECONDS", 0.0)


def test_a_delivery_is_a_job_that_a_worker_can_run(broker: Any, system: System):
    queue, name = system.queue, instance.name(system.database)
    queue.deliver(
        [
            Undelivered(task_id=7, kind=TaskKind.TRAIN, delivery=1),
            Undelivered(task_id=8, kind=TaskKind.ATTRIBUTE, delivery=3),
        ]
    )
    assert queue.waiting() == {(7, 1), (8, 3)}
    job = Job.fetch(f"{name}-7-1", connection=broker.client(), serializer=JSONSerializer)
    assert (job.func_name, list(job.args), job.origin, job.timeout, job.description) == (
        "densitylab.worker.jobs.train.run",
        [7],
        f"{name}:train",
        -1,
        "train job 7-1",
    )
    queue.deliver([Undelivered(task_id=7, kind=TaskKind.TRAIN, delivery=2)])
    assert queue.waiting() == {(7, 1), (7, 2), (8, 3)}
    queue.withdraw({(7, 1), (8, 3), (9, 1)})
    assert queue.waiting() == {(7, 2)}
    assert [key.decode() for key in broker.client().scan_iter("rq:job:*")] == [f"rq:job:{name}-7-2"]


def test_live_workers_are_counted_by_queue(system: System, rq_queues: Any):
    queue = system.queue
    assert queue.workers() == dict.fromkeys(QueueName, 0)
    queues = rq_queues(TRAINING_QUEUES)
    connection = queues[0].connection
    first, second = (SimpleWorker(queues, connection=connection, name=name, worker_ttl=30) for name in ("a", "b"))
    first.register_birth()
    second.register_birth()
    assert queue.workers() == {name: 2 * (name in TRAINING_QUEUES) for name in QueueName}
    assert [worker.load for worker in queue.live_workers()] == [None, None]
    connection.hset(first.key, LOAD_FIELD, json.dumps([1.5, 2]))
    assert [worker.load for worker in queue.live_workers()] == [(1.5, 2), None]
    connection.delete(second.key)  # killed, and its key has expired
    assert queue.workers()[QueueName.TRAIN] == 1


def test_a_broker_that_is_down_is_said_at_once(own_broker: Any, database: Database):
    queue = Queue(own_broker.url, database)
    began = time.monotonic()
    for call in (
        queue.ping,
        queue.waiting,
        queue.workers,
        lambda: queue.deliver([Undelivered(task_id=1, kind=TaskKind.TRAIN, delivery=1)]),
    ):
        with pytest.raises(BrokerUnavailable, match="the broker does not answer"):
            call()
    assert time.monotonic() - began < 0.5
    own_broker.start()
    queue.ping()
    own_broker.stop()
    own_broker.start()
    queue.ping()  # over the connection that the old broker dropped
    queue.close()


def test_a_launch_without_a_broker_is_taken_and_delivered_when_it_is_back(
    database_url: str, own_broker: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = Settings(home=tmp_path, database_url=database_url, redis_url=own_broker.url)
    database = Database(database_url)
    system = System(
        database,
        ArtifactStore(settings.artifacts_url),
        Queue(settings.redis_url, database),
        settings.data_dir,
        Catalog.built_in(),
    )
    with TestClient(create_app(settings)) as client:
        answer = client.post("/api/v1/experiments", json={})
        assert answer.status_code == 202
        run = client.get(f"/api/v1/runs/{answer.json()['runs'][0]}").json()
        assert (run["status"], run["stage"]) == ("queued", "waits for the broker")
        assert client.get("/readyz").json()["status"] == "degraded"
        duty = reconciler.PeriodicTask(reconciler.deliver_queued_tasks, 0)
        caplog.set_level(logging.INFO)
        caplog.clear()
        for _ in range(3):
            duty.attempt(system)
        own_broker.start()
        duty.attempt(system)
        said = [record.message for record in caplog.records if record.name == "densitylab.backend.reconciler"]
        assert len(said) == 2 and said[0].startswith("cannot deliver queued tasks for now")
        assert said[1] == "can deliver queued tasks again"
        assert (run["task"], 1) in system.queue.waiting()
        assert client.get(f"/api/v1/runs/{run['id']}").json()["stage"] == "queued"
    system.queue.close()
    system.database.close()


@pytest.mark.usefixtures("lost_at_once")
def test_what_the_broker_lost_is_delivered_again(work: Any, system: System, broker: Any):
    work.launch()
    reconciler.deliver_queued_tasks(system)
    (job,) = system.queue.waiting()
    reconciler.compare_queues(system)
    reconciler.deliver_queued_tasks(system)
    assert system.queue.waiting() == {job}  # nothing was lost
    broker.client().flushall()
    reconciler.compare_queues(system)
    reconciler.deliver_queued_tasks(system)
    assert system.queue.waiting() == {(job[0], 2)}


def test_what_was_delivered_just_now_is_not_lost(work: Any, system: System, broker: Any):
    work.launch()
    reconciler.deliver_queued_tasks(system)
    broker.client().flushall()  # as if a worker had popped it and not claimed it yet
    reconciler.compare_queues(system)
    reconciler.deliver_queued_tasks(system)
    assert system.queue.waiting() == set()


@pytest.mark.usefixtures("lost_at_once")
def test_work_that_ended_leaves_the_broker(work: Any, system: System, client: TestClient):
    launched = work.launch({"evaluations": []}, {"seed": [0, 1, 2, 3]})
    reconciler.deliver_queued_tasks(system)
    with system.database.read() as session:
        cancelled, retried, deleted, kept = (runs.train_task(session, run_id) for run_id in launched)
    for run_id in launched[:3]:
        assert client.post(f"/api/v1/runs/{run_id}/cancel").status_code == 202
    assert client.post(f"/api/v1/runs/{launched[1]}/retry").status_code == 202  # delivered at once
    assert client.delete(f"/api/v1/runs/{launched[2]}").status_code == 200
    assert system.queue.waiting() >= {(cancelled, 1), (retried, 1), (retried, 2), (deleted, 1), (kept, 1)}
    reconciler.compare_queues(system)
    left = {item for item in system.queue.waiting() if item[0] in (cancelled, retried, deleted, kept)}
    assert left == {(retried, 2), (kept, 1)}


def test_eight_that_deliver_at_once_deliver_everything_once(work: Any, system: System, rq_queues: Any):
    work.launch({"evaluations": []}, {"seed": list(range(60))})

    def deliver_all() -> int:
        return delivery.deliver(system.database, system.queue)

    with ThreadPoolExecutor(8) as threads:
        delivered = sum(threads.map(lambda _: deliver_all(), range(8)))
    waiting = [found for queue in rq_queues(QueueName) for found in queue.job_ids]
    assert len(waiting) == len(set(waiting)) == delivered == 60


def test_systems_that_share_a_broker_do_not_see_each_other(
    work: Any, system: System, broker: Any, tmp_path: Path, rq_queues: Any
):
    migrate.upgrade(Settings(home=tmp_path / "other"))
    other = Database(Settings(home=tmp_path / "other").database_url)
    theirs = Queue(broker.url, other)
    queues = rq_queues(TRAINING_QUEUES)
    SimpleWorker(queues, connection=queues[0].connection, name="ours", worker_ttl=30).register_birth()
    work.launch()
    reconciler.deliver_queued_tasks(system)
    assert system.queue.waiting() and theirs.waiting() == set()
    assert theirs.live_workers() == [] and set(theirs.lengths().values()) == {0}
    Comparison().repair(other, theirs)
    theirs.deliver([Undelivered(task_id=1, kind=TaskKind.TRAIN, delivery=1)])  # the same numbers as ours
    Comparison().repair(other, theirs)
    assert system.queue.waiting() and theirs.waiting() == set()
    theirs.close()
    other.close()


def test_an_entry_that_is_no_delivery_is_left_to_the_workers(system: System, rq_queues: Any):
    (queue,) = rq_queues([QueueName.TRAIN])
    for damaged in ("x", "1-2-3-4-", b"\xff\xfe"):
        queue.connection.rpush(queue.key, damaged)
    reconciler.compare_queues(system)
    assert system.queue.waiting() == set()


def test_measures_are_delivered_when_the_training_has_succeeded(work: Any, system: System):
    (run_id,) = work.launch()
    reconciler.deliver_queued_tasks(system)
    assert len(system.queue.waiting()) == 1
    work.train(run_id)
    reconciler.deliver_queued_tasks(system)
    assert len(system.queue.waiting()) == 4


def test_the_work_of_a_dead_worker_goes_to_another(work: Any, system: System):
    (run_id,) = work.launch()
    held = work.start(run_id)
    reconciler.reclaim_expired_leases(system)
    with system.database.read() as session:
        assert tasks.get(session, held.task_id).status == Status.RUNNING
    work.age_lease(held.task_id)
    reconciler.reclaim_expired_leases(system)
    reconciler.deliver_queued_tasks(system)
    with pytest.raises(tasks.LeaseLost), system.database.write() as session:
        tasks.fence(session, held)
    assert work.start(run_id).attempt == 2


def test_after_ten_seconds_a_cancel_is_hard_and_reaches_the_worker(
    work: Any, system: System, broker: Any, monkeypatch: pytest.MonkeyPatch
):
    (run_id,) = work.launch()
    reconciler.deliver_queued_tasks(system)
    held = work.start(run_id)
    with system.database.write() as session:
        tasks.request_cancel(session, held.task_id)
    reconciler.kill_overdue_cancels(system)
    with system.database.read() as session:
        assert tasks.get(session, held.task_id).status == Status.RUNNING
    listener = broker.client().pubsub()
    listener.subscribe("rq:pubsub:w")
    while listener.get_message(timeout=1)["type"] != "subscribe":
        pass
    monkeypatch.setattr(reconciler, "HARD_STOP_SECONDS", -1.0)
    reconciler.kill_overdue_cancels(system)
    message = listener.get_message(timeout=2)
    assert b"stop-job" in message["data"] and f"-{held.task_id}-1".encode() in message["data"]
    with system.database.read() as session:
        assert tasks.get(session, held.task_id).status == Status.CANCELLED
    with pytest.raises(tasks.LeaseLost), system.database.write() as session:
        tasks.fence(session, held)


@pytest.mark.parametrize("stage", ["marked", "files gone"])
def test_a_deletion_interrupted_anywhere_is_finished(work: Any, system: System, stage: str):
    (run_id,) = work.launch()
    work.train(run_id)
    with system.database.write() as session:
        runs.mark_deleting(session, run_id)
        assert runs.get(session, run_id) is None
    if stage == "files gone":
        system.store.delete_tree(f"runs/{run_id}")
    reconciler.finish_deletions(system)
    with system.database.read() as session:
        assert runs.deleting(session) == [] and tasks.counts(session) == {}
    assert system.store.size_tree("runs") == 0


def test_two_that_finish_the_same_deletion_do_not_disturb_each_other(work: Any, system: System):
    (run_id,) = work.launch()
    work.train(run_id)
    with system.database.write() as session:
        runs.mark_deleting(session, run_id)
    assert deletion.finish_run(system.database, system.store, run_id) == 7
    assert deletion.finish_run(system.database, system.store, run_id) == 0


def test_the_cache_of_maps_keeps_to_its_budget(system: System):
    for number in range(3):
        with system.database.write() as session:
            row = attributions.create(session, {}, f"hash{number}")
            location = f"attributions/{row}.npz"
            system.store.write(location, b"x" * 100)
            attributions.store(
                session, row, panels=[], limit=1.0, data_hash="d", location=location, size=100, seconds=0.1
            )
    reconciler.shrink_cache(replace(system, retention=Retention(map_bytes=250)))
    assert system.store.size_tree("attributions") == 200
    with system.database.read() as session:
        assert attributions.location(session, 1) is None and attributions.location(session, 3) is not None


def test_embedded_data_is_prepared_before_anybody_asks(client: TestClient, system: System):
    reconciler.prepare_embedded_data(system)
    reconciler.prepare_embedded_data(system)
    assert client.get("/api/v1/datasets/blockmnist").json()["status"] == "preparing"
    embedded = [entry for entry in CATALOG.all("dataset") if entry.embedded]
    assert client.get("/readyz").json()["queued"] == len(embedded)


def test_the_process_delivers_and_ends_cleanly(settings: Settings, work: Any, system: System):
    work.launch({"evaluations": []})
    environment = {
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url,
        "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "densitylab.backend.reconciler"],
        env=environment,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    alive = settings.alive_file("reconciler")  # for health checks
    while len(system.queue.waiting()) < 2 or not alive.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    began = time.monotonic()
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 3
    assert not alive.exists()
