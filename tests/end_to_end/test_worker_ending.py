"""Workers that end by themselves: nothing is lost, and nothing runs twice."""

import os
import signal

import pytest
from redis import Redis

from densitylab.backend.broker.queue import Queue
from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import runs
from densitylab.backend.shared.tables import TaskRow
from tests.end_to_end.training_system import (
    System,
    Watch,
    assert_undisturbed,
    ended,
    launch,
    started,
    step_of,
    until,
)

SHORT = {"epochs": 1, "train_samples": 200}
ENDS_WITHIN = 240.0  # seconds, on a machine that other tests use too
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def system(tmp_path):
    with started(tmp_path) as system:
        yield system


@pytest.fixture
def database(system):
    database = Database(system.settings.database_url)
    yield database
    database.close()


def _runs(database: Database, *watches: Watch) -> list[Run]:
    with database.read() as session:
        return [runs.get(session, watch.run) for watch in watches]


def _waiting(system: System, database: Database) -> set[int]:
    """Return the tasks that wait on a queue."""
    queue = Queue(system.settings.redis_url, database)
    waiting = {task for task, _ in queue.waiting()}
    queue.close()
    return waiting


def _unregistered(system: System) -> bool:
    connection = Redis.from_url(system.settings.redis_url)
    left = connection.smembers("rq:workers")
    connection.close()
    return not left


def test_a_worker_ends_when_its_queues_are_empty(system, database):
    evaluated = launch(system.settings, database, **SHORT | {"evaluations": [{"key": "accuracy", "params": {}}]})
    other = launch(system.settings, database, **SHORT)
    assert ended(system.ending_worker("--exit-when-idle", "--idle-seconds", "3"), ENDS_WITHIN) == 0
    first, second = _runs(database, evaluated, other)
    assert [(run.status, run.attempt) for run in (first, second)] == [(Status.SUCCEEDED, 1)] * 2
    assert first.measured and "accuracy.accuracy" in first.results
    assert _unregistered(system) and not system.settings.alive_file("training").exists()


@pytest.mark.slow
def test_a_worker_ends_after_so_many_runs_and_their_evaluations(system, database):
    evaluated = {"evaluations": [{"key": "accuracy", "params": {}}]}
    watches = [launch(system.settings, database, **SHORT | evaluated) for _ in range(3)]
    assert ended(system.ending_worker("--max-runs", "2", "--idle-seconds", "3"), ENDS_WITHIN) == 0
    trained = _runs(database, *watches)
    assert [run.attempt for run in trained] == [1, 1, 0]
    assert [run.measured for run in trained] == [True, True, False]
    assert watches[2].task in _waiting(system, database)


@pytest.mark.slow
def test_a_worker_leaves_a_run_that_would_not_end_in_time(system, database):
    first, long = (launch(system.settings, database, epochs=epochs) for epochs in (2, 10_000))
    last = launch(system.settings, database, **SHORT)
    assert ended(system.ending_worker("--until", "15m", "--idle-seconds", "3"), ENDS_WITHIN) == 0
    assert [(run.status, run.attempt) for run in _runs(database, first, long, last)] == [
        (Status.SUCCEEDED, 1),
        (Status.QUEUED, 0),
        (Status.QUEUED, 0),
    ]
    assert {long.task, last.task} <= _waiting(system, database)
    # The long run is the next worker's first, so it makes progress there
    worker = system.ending_worker("--until", "15m", "--idle-seconds", "3")
    until(lambda records: records[long.run].progress > 0 and long.processes, database, [long], limit=ENDS_WITHIN)
    worker.terminate()
    assert ended(worker, 60) == 0


@pytest.mark.slow
def test_a_run_in_progress_is_handed_back_at_the_time(system, database):
    undisturbed, watch = launch(system.settings, database), launch(system.settings, database)
    assert ended(system.ending_worker("--max-runs", "1", "--idle-seconds", "1"), ENDS_WITHIN) == 0
    attempts = 0
    while (run := _runs(database, watch)[0]).status != Status.SUCCEEDED:
        assert attempts < 10 and run.attempt <= attempts
        seconds = 15 + 5 * attempts  # until the first steps on a slow machine too
        assert (
            ended(system.ending_worker("--until", f"{seconds}s", "--exit-when-idle", "--idle-seconds", "2"), 300) == 0
        )
        attempts += 1
    assert_undisturbed(database, system.settings, [watch], undisturbed)


@pytest.mark.slow
def test_a_worker_ends_in_time_also_while_it_waits_for_the_broker(system):
    system.broker.kill()
    system.broker.wait()
    assert ended(system.ending_worker("--until", "5s"), ENDS_WITHIN) == 0


@pytest.mark.slow
@pytest.mark.parametrize("to", ["worker", "group"])
def test_sigterm_hands_the_run_back_also_where_it_reaches_the_training(system, database, to):
    undisturbed, watch = launch(system.settings, database), launch(system.settings, database)
    ended(system.ending_worker("--max-runs", "1", "--idle-seconds", "1"), ENDS_WITHIN)
    worker = system.ending_worker()
    until(lambda records: step_of(records[watch.run]) > 20 and watch.processes, database, [watch], limit=ENDS_WITHIN)
    if to == "group":
        os.killpg(worker.pid, signal.SIGTERM)
    else:
        worker.terminate()
    assert ended(worker, 60) == 0
    with database.read() as session:
        row = session.get_one(TaskRow, watch.task)
        assert (row.status, row.attempt, row.fruitless) == (Status.QUEUED, 1, 0)
    stored = _runs(database, watch)[0].checkpoint_step
    assert stored is not None and stored > 20
    assert ended(system.ending_worker("--exit-when-idle", "--idle-seconds", "2"), 300) == 0
    assert _runs(database, watch)[0].attempt == 2
    assert_undisturbed(database, system.settings, [watch], undisturbed)
