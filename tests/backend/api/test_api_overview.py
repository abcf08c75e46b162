"""`GET /system` with a real broker and a registered worker."""

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from rq import SimpleWorker

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import TRAINING_QUEUES, QueueName
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import tasks

PATH = "/api/v1/system"


def test_workers_tell_what_they_do(client: TestClient, rq_queues: Any, work: Any, system: System):
    queues = rq_queues(TRAINING_QUEUES)
    for name in ("w", "idle"):
        SimpleWorker(queues, connection=queues[0].connection, name=name, worker_ttl=30).register_birth()
    first, second = work.launch({"evaluations": []}, sweep={"seed": [0, 1]})
    work.train(first)
    held = work.start(second)
    idle, busy = client.get(PATH).json()["workers"]
    assert (idle["name"], idle["task"], idle["device"]) == ("idle", None, None)
    assert (busy["name"], busy["task"]["id"], busy["task"]["run"]) == ("w", held.task_id, second)
    assert busy["device"] == "cpu" and busy["queues"] == [name.value for name in QueueName if name in TRAINING_QUEUES]
    assert busy["host"] and busy["since"].endswith("Z")
    assert (busy["memory_bytes"], busy["device_memory_bytes"]) == (None, None)  # not told yet
    with system.database.write() as session:
        tasks.renew(session, held, lease_seconds=15, memory_bytes=3_000_000_000, device_memory_bytes=5)
    idle, busy = client.get(PATH).json()["workers"]
    assert (busy["memory_bytes"], busy["device_memory_bytes"], idle["memory_bytes"]) == (3_000_000_000, 5, None)
    work.end(held)
    assert client.get(PATH).json()["workers"][1]["task"] is None


def test_queues_database_and_disk_are_told(client: TestClient, work: Any, settings: Settings):
    client.post("/api/v1/experiments", json={"priority": "low", "sweep": {"seed": [0, 1, 2]}})
    work.prepare()
    work.train(1)
    backup = settings.home / "backups" / "densitylab-x-0001.sqlite"
    backup.parent.mkdir()
    backup.write_bytes(b"12345")
    told = client.get(PATH).json()
    newest = max(path.name[:4] for path in Path(migrate.__file__).parents[1].glob("migrations/versions/0*.py"))
    assert told["queues"] == {**dict.fromkeys(QueueName, 0), "train-low": 3, "prepare": 1}
    assert told["broker"]["status"] == "ok" and told["broker"]["version"] and told["broker"]["bytes"] > 0
    assert (told["database"]["kind"] == "sqlite") == settings.database_url.startswith("sqlite")
    assert told["database"]["bytes"] > 50_000 and told["database"]["revision"] == newest
    disk = told["disk"]
    assert (disk["runs_bytes"], disk["data_bytes"], disk["backups_bytes"]) == (len(b"weights"), 10, 5)
    assert 0 < disk["free_bytes"] < disk["total_bytes"]
    assert told["versions"]["version"] and told["versions"]["sqlalchemy"]


def test_without_a_broker_the_rest_is_told(database_url: str, tmp_path: Path):
    nowhere = Settings(home=tmp_path, database_url=database_url, redis_url=f"unix://{tmp_path}/no.sock")
    with TestClient(create_app(nowhere)) as client:
        told = client.get(PATH).json()
    assert told["workers"] == [] and told["queues"] == {} and told["database"]["bytes"] > 0
    assert told["broker"]["status"].startswith("the broker does not answer")
