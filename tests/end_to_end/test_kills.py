"""Kill processes: the runs continue and end with the same weights and metric rows, bit for bit.

The system has real processes: Valkey, reconciler, training workers and SQLite; with TEST_SERVERS a Redis and a
PostgreSQL. All runs have the same spec (SGD with momentum, random_projection at every fourth step, a SiLU network), so
each must equal the undisturbed one. Processes are killed at random steps; the test prints the seed.
"""

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass

import psutil
import pytest
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.whole_system import belonging, start_launcher
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.shared.contracts import QueueName, Run, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import logs, tasks
from tests.end_to_end.training_system import (
    STEPS,
    System,
    Watch,
    assert_undisturbed,
    launch,
    runs_on,
    started,
    step_of,
    until,
)
from tests.servers import broker_and_database, free_ports

RESUMES_WITHIN = 60.0
WORKERS = 4


@dataclass
class Killed:
    """A kill, and the seconds until another process had the run."""

    what: str
    step: int
    at: float
    token: int
    back: float | None = None


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
def system(tmp_path, servers):
    with started(tmp_path, servers) as system:
        yield system


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
    undisturbed = launch(system.settings, database)
    watches, plans = [undisturbed], {}
    killed: dict[int, Killed] = {}

    def kill_what_is_due(records: dict[int, Run]) -> bool:
        for watch in watches:
            record, due, kill = records[watch.run], plans.get(watch.run), killed.get(watch.run)
            if due and record.status == Status.RUNNING and step_of(record) >= due[0] and watch.processes:
                del plans[watch.run]
                killed[watch.run] = Killed(due[1], step_of(record), time.monotonic(), max(watch.processes))
                _kill(system, watch, due[1])
            if kill and kill.back is None and max(watch.processes) > kill.token:
                kill.back = time.monotonic() - kill.at
                assert kill.back < RESUMES_WITHIN, kill
        # One worker is always free, so that no run waits in the queue
        if to_come and sum(not record.status.final for record in records.values()) < WORKERS - 1:
            watches.append(launch(system.settings, database))
            plans[watches[-1].run] = to_come.pop()
        return not to_come and len(records) == 9 and all(item.status.final for item in records.values())

    seconds = until(kill_what_is_due, database, watches)
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
    assert_undisturbed(database, system.settings, watches, undisturbed)
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
@pytest.mark.slow
def test_a_training_that_ignores_its_cancel_is_stopped_hard(system):
    database = Database(system.settings.database_url)
    system.start_worker()
    suspended = launch(system.settings, database)
    until(lambda records: step_of(records[suspended.run]) > 20 and suspended.processes, database, [suspended], limit=60)
    process = suspended.process()
    process.suspend()
    try:
        with database.write() as session:
            tasks.request_cancel(session, suspended.task)
        until(lambda records: records[suspended.run].status == Status.CANCELLED, database, [suspended], limit=20)
        _wait(lambda: not runs_on(process), 10)
    finally:
        if runs_on(process):
            process.kill()
    # The worker is unharmed and takes the next run
    after = launch(system.settings, database)
    until(lambda records: records[after.run].status == Status.RUNNING, database, [after], limit=30)
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
        undisturbed, victim = launch(settings, database), launch(settings, database)
        records = [undisturbed, victim]
        until(lambda records: step_of(records[victim.run]) >= step and victim.processes, database, records)
        launcher.kill()
        launcher.wait()
        _wait(lambda: not any(runs_on(process) for process in belonging(settings.home)), 10)
        launcher = start_launcher(dict(os.environ))
        token = max(victim.processes)
        assert until(lambda records: max(victim.processes) > token, database, records) < RESUMES_WITHIN
        until(lambda records: all(record.status.final for record in records.values()), database, records)
        assert_undisturbed(database, settings, records, undisturbed)
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
