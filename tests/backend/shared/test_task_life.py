"""Claim, fence, release, reap, cancel and retry, on both databases and between processes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import evaluations, logs, outbox, tasks
from densitylab.backend.shared.store.tasks import LeaseLost

# Run by several processes that all want every task, from the same moment on
CLAIM_ALL = """
import json, sys, time
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import tasks

url, moment, name, wanted = sys.argv[1], float(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
database = Database(url)
time.sleep(max(0.0, moment - time.time()))
got = []
for task_id in wanted:
    with database.write() as session:
        if tasks.claim(session, task_id, worker=name, lease_seconds=15) is not None:
            got.append(task_id)
print(json.dumps(got))
"""


def test_of_four_processes_each_task_is_claimed_by_one(work: Any, database: Database, database_url: str):
    work.launch({"evaluations": []}, {"seed": list(range(20))})
    with database.read() as session:
        wanted = [item.task_id for item in outbox.undelivered(session)]
    arguments = [sys.executable, "-c", CLAIM_ALL, database_url, str(time.time() + 3)]
    processes = [
        subprocess.Popen(
            [*arguments, f"w{number}", json.dumps(wanted)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for number in range(4)
    ]
    got = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(task_id for mine in got for task_id in mine) == wanted


def status(database: Database, task_id: int) -> Status:
    with database.read() as session:
        task = tasks.get(session, task_id)
    assert task is not None
    return task.status


def test_who_holds_an_older_token_may_not_write(work: Any, database: Database):
    (run_id,) = work.launch()
    first = work.start(run_id)
    work.age_lease(first.task_id)
    second = work.claim(first.task_id)  # an expired lease is taken over
    assert second.token == first.token + 1
    for write in (
        tasks.fence,
        tasks.advanced,
        tasks.release,
        lambda session, held: tasks.finish(session, held, Status.SUCCEEDED),
        lambda session, held: tasks.renew(session, held, lease_seconds=15),
    ):
        with pytest.raises(LeaseLost), database.write() as session:
            write(session, first)
    with database.write() as session:
        tasks.fence(session, second)
    assert status(database, first.task_id) == Status.RUNNING


def test_a_live_lease_is_not_taken(work: Any, database: Database):
    (run_id,) = work.launch()
    held = work.start(run_id)
    with database.write() as session:
        assert tasks.claim(session, held.task_id, worker="other", lease_seconds=15) is None
        assert tasks.reap(session) == []


def test_a_lease_given_back_does_not_count_as_a_fruitless_attempt(work: Any, database: Database):
    (run_id,) = work.launch()
    for _ in range(5):
        held = work.start(run_id)
        with database.write() as session:
            tasks.release(session, held)
        assert status(database, held.task_id) == Status.QUEUED


def test_three_attempts_that_advance_nothing_fail_with_the_last_lines_of_the_log(work: Any, database: Database):
    (run_id,) = work.launch()
    with database.write() as session:
        logs.append(session, run_id, [(1.0, "info", f"line {number}") for number in range(9)])
    for attempt in (1, 2, 3):
        held = work.start(run_id)
        assert held.attempt == attempt
        work.age_lease(held.task_id)
        with database.write() as session:
            assert tasks.reap(session) == [held.task_id]
    with database.read() as session:
        task = tasks.get(session, held.task_id)
        assert task is not None and task.status == Status.FAILED
        assert task.error is not None and "died 3 times" in task.error
        assert "line 4 | line 5 | line 6 | line 7 | line 8" in task.error
        assert {item.status for item in evaluations.of_run(session, run_id)} == {Status.CANCELLED}


def test_attempts_that_advance_a_checkpoint_may_be_many(work: Any, database: Database):
    (run_id,) = work.launch()
    for number in range(6):
        held = work.start(run_id)
        work.checkpoint(held, step=number)
        work.age_lease(held.task_id)
        with database.write() as session:
            tasks.reap(session)
        assert status(database, held.task_id) == Status.QUEUED


def test_a_dead_worker_with_a_cancel_ends_cancelled(work: Any, database: Database):
    (run_id,) = work.launch()
    held = work.start(run_id)
    with database.write() as session:
        tasks.request_cancel(session, held.task_id)
    work.age_lease(held.task_id)
    with database.write() as session:
        assert tasks.claim(session, held.task_id, worker="other", lease_seconds=15) is None
        tasks.reap(session)
    assert status(database, held.task_id) == Status.CANCELLED


@pytest.mark.parametrize("end", [Status.FAILED, Status.CANCELLED])
def test_followers_go_with_the_training_and_come_back_with_it(work: Any, database: Database, end: Status):
    (run_id,) = work.launch()
    held = work.start(run_id)
    work.end(held, end)

    def followers() -> set[Status]:
        with database.read() as session:
            return {item.status for item in evaluations.of_run(session, run_id)}

    assert followers() == {Status.CANCELLED}
    with database.write() as session:
        assert tasks.retry(session, held.task_id)
        assert not tasks.retry(session, held.task_id)
    assert followers() == {Status.QUEUED}
    work.train(run_id)
    work.finish_evaluations(run_id)
    assert followers() == {Status.SUCCEEDED}
