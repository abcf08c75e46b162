"""Against a real Valkey: delivery, loss, outage, and the life that the reconciler keeps going."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from rq import Queue as RqQueue
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from backend import deletion, reconciler
from backend.api.app import create_app
from backend.queue import BrokerDown, Queue
from backend.reconciler import System
from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import CATALOG
from backend.shared.contracts import TRAINING_QUEUES, QueueName, Status, TaskKind
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import attributions, runs, tasks
from backend.shared.store.outbox import Undelivered
from backend.shared.tables import TaskRow


def age_deliveries(database: Database) -> None:
    """As if the broker had had its jobs for a minute."""
    with database.write() as session:
        for row in session.query(TaskRow).where(TaskRow.delivered.is_(True)):
            row.delivered_at = (row.delivered_at or 0) - 60


def test_a_delivery_is_a_job_that_a_worker_can_run(broker: Any):
    queue = Queue(broker.url)
    queue.deliver([Undelivered(task_id=7, kind=TaskKind.TRAIN, delivery=1),
                   Undelivered(task_id=8, kind=TaskKind.ATTRIBUTE, delivery=3)])
    assert queue.waiting() == {(7, 1), (8, 3)}
    job = Job.fetch("7-1", connection=broker.client(), serializer=JSONSerializer)
    assert (job.func_name, list(job.args), job.origin, job.timeout) == ("worker.jobs.train.run", [7], "train", -1)
    queue.deliver([Undelivered(task_id=7, kind=TaskKind.TRAIN, delivery=2)])
    assert queue.waiting() == {(7, 1), (7, 2), (8, 3)}
    queue.close()


def test_live_workers_are_counted_by_queue(broker: Any):
    queue = Queue(broker.url)
    assert queue.workers() == dict.fromkeys(QueueName, 0)
    connection = broker.client()
    queues = [RqQueue(name, connection=connection) for name in TRAINING_QUEUES]
    first, second = (SimpleWorker(queues, connection=connection, name=name) for name in ("a", "b"))
    first.register_birth()
    second.register_birth()
    assert queue.workers() == {name: 2 * (name in TRAINING_QUEUES) for name in QueueName}
    connection.delete(second.key)  # killed, and its key has expired
    assert queue.workers()[QueueName.TRAIN] == 1
    queue.close()


def test_a_broker_that_is_down_is_said_at_once(own_broker: Any):
    queue = Queue(own_broker.url)
    began = time.monotonic()
    for call in (queue.ping, queue.waiting, queue.workers,
                 lambda: queue.deliver([Undelivered(task_id=1, kind=TaskKind.TRAIN, delivery=1)])):
        with pytest.raises(BrokerDown, match="the broker does not answer"):
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
    system = System(Database(database_url), ArtifactStore(settings.artifacts_url), Queue(settings.redis_url),
                    settings.data_dir)
    with TestClient(create_app(settings)) as client:
        answer = client.post("/api/v1/experiments", json={})
        assert answer.status_code == 202
        run = client.get(f"/api/v1/runs/{answer.json()['runs'][0]}").json()
        assert (run["status"], run["stage"]) == ("queued", "waits for the broker")
        assert client.get("/readyz").json()["status"] == "degraded"
        duty = reconciler.Duty(reconciler.deliver_queued_work, 0)
        caplog.set_level(logging.INFO)
        caplog.clear()
        for _ in range(3):
            duty.attempt(system)
        own_broker.start()
        duty.attempt(system)
        said = [record.message for record in caplog.records if record.name == "backend.reconciler"]
        assert len(said) == 2 and said[0].startswith("cannot deliver queued work for now")
        assert said[1] == "can deliver queued work again"
        assert (run["task"], 1) in system.queue.waiting()
        assert client.get(f"/api/v1/runs/{run['id']}").json()["stage"] == "queued"
    system.queue.close()
    system.database.close()


def test_what_the_broker_lost_is_delivered_again(work: Any, system: System, broker: Any):
    work.launch()
    reconciler.deliver_queued_work(system)
    (job,) = system.queue.waiting()
    age_deliveries(system.database)
    reconciler.redeliver_lost_work(system)
    reconciler.deliver_queued_work(system)
    assert system.queue.waiting() == {job}  # nothing was lost
    broker.client().flushall()
    reconciler.redeliver_lost_work(system)
    reconciler.deliver_queued_work(system)
    assert system.queue.waiting() == {(job[0], 2)}


def test_what_was_delivered_just_now_is_not_lost(work: Any, system: System, broker: Any):
    work.launch()
    reconciler.deliver_queued_work(system)
    broker.client().flushall()  # as if a worker had popped it and not claimed it yet
    reconciler.redeliver_lost_work(system)
    reconciler.deliver_queued_work(system)
    assert system.queue.waiting() == set()


def test_measures_are_delivered_when_the_training_has_succeeded(work: Any, system: System):
    (run_id,) = work.launch()
    reconciler.deliver_queued_work(system)
    assert len(system.queue.waiting()) == 1
    work.train(run_id)
    reconciler.deliver_queued_work(system)
    assert len(system.queue.waiting()) == 4


def test_the_work_of_a_dead_worker_goes_to_another(work: Any, system: System):
    (run_id,) = work.launch()
    held = work.start(run_id)
    reconciler.take_back_expired_work(system)
    with system.database.read() as session:
        assert tasks.get(session, held.task_id).status == Status.RUNNING
    work.age_lease(held.task_id)
    reconciler.take_back_expired_work(system)
    reconciler.deliver_queued_work(system)
    with pytest.raises(tasks.LeaseLost), system.database.write() as session:
        tasks.fence(session, held)
    assert work.start(run_id).attempt == 2


def test_after_ten_seconds_a_cancel_is_hard_and_reaches_the_worker(
    work: Any, system: System, broker: Any, monkeypatch: pytest.MonkeyPatch
):
    (run_id,) = work.launch()
    reconciler.deliver_queued_work(system)
    held = work.start(run_id)
    with system.database.write() as session:
        tasks.request_cancel(session, held.task_id)
    reconciler.stop_what_ignores_its_cancel(system)
    with system.database.read() as session:
        assert tasks.get(session, held.task_id).status == Status.RUNNING
    listener = broker.client().pubsub()
    listener.subscribe("rq:pubsub:w")
    while listener.get_message(timeout=1)["type"] != "subscribe":
        pass
    monkeypatch.setattr(reconciler, "HARD_STOP_SECONDS", -1.0)
    reconciler.stop_what_ignores_its_cancel(system)
    message = listener.get_message(timeout=2)
    assert b"stop-job" in message["data"] and f"{held.task_id}-1".encode() in message["data"]
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


def test_the_cache_of_maps_keeps_to_its_budget(system: System, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        with system.database.write() as session:
            row = attributions.create(session, {}, f"hash{number}")
            location = f"attributions/{row}.npz"
            system.store.write(location, b"x" * 100)
            attributions.store(session, row, panels=[], limit=1.0, data_hash="d", location=location, size=100,
                               seconds=0.1)
    monkeypatch.setattr(reconciler, "CACHE_BYTES", 250)
    reconciler.shrink_the_cache(system)
    assert system.store.size_tree("attributions") == 200
    with system.database.read() as session:
        assert attributions.location(session, 1) is None and attributions.location(session, 3) is not None


def test_embedded_data_is_prepared_before_anybody_asks(client: TestClient, system: System):
    reconciler.prepare_embedded_data(system)
    reconciler.prepare_embedded_data(system)
    assert client.get("/api/v1/datasets/blockmnist").json()["status"] == "preparing"
    embedded = [entry for entry in CATALOG["dataset"] if entry.embedded]
    assert client.get("/readyz").json()["queued"] == len(embedded)


def test_the_process_delivers_and_ends_cleanly(settings: Settings, work: Any, system: System):
    work.launch({"evaluations": []})
    environment = {
        "DENSITYLAB_HOME": str(settings.home), "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url, "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen([sys.executable, "-m", "backend.reconciler"], env=environment,
                               cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(system.queue.waiting()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    began = time.monotonic()
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 3
