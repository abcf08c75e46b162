"""Claims of several trainings at once, under the rules of a single claim, on both databases."""

import threading

import pytest
from sqlalchemy import update

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import events, runs, stacks, tasks
from densitylab.backend.shared.tables import TaskRow
from tests.backend.conftest import Work

SWEEP = {"seed": [0, 1, 2, 3]}


@pytest.fixture
def database(work: Work) -> Database:
    return work.system.database


def train_tasks(database: Database, run_ids: list[int]) -> list[int]:
    with database.read() as session:
        return [runs.train_task(session, run_id) or 0 for run_id in run_ids]


def siblings(database: Database, task_id: int) -> dict[int, int]:
    with database.read() as session:
        return stacks.siblings(session, task_id, 10)


def claim(database: Database, task_ids: list[int]) -> list[tasks.Claim]:
    with database.write() as session:
        return stacks.claim(session, task_ids, worker="w", lease_seconds=15.0)


def change(database: Database, task_id: int, **values: object) -> None:
    with database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.id == task_id).values(**values))


def test_queued_runs_alike_are_siblings(work: Work, database: Database):
    members = work.launch({}, SWEEP)
    work.launch({}, SWEEP)
    first, *others = train_tasks(database, members)
    work.claim(first)
    assert siblings(database, first) == dict(zip(members[1:], others, strict=True))
    work.claim(others[0])
    change(database, others[1], fruitless=2)
    assert siblings(database, first) == {members[3]: others[2]}
    work.age_lease(others[0])
    with database.write() as session:
        tasks.request_cancel(session, others[2])
    assert siblings(database, first) == {members[1]: others[0]}
    change(database, first, fruitless=3)
    assert siblings(database, first) == {}


def test_siblings_are_in_the_order_of_the_queue(work: Work, database: Database):
    members = work.launch({}, {"lambda_": [1, 0], "seed": [0, 1, 2]})
    first, *others = (members[place] for place in (3, 0, 4, 1, 5, 2))
    assert list(siblings(database, train_tasks(database, [first])[0])) == others


def test_runs_of_another_network_are_no_siblings(work: Work, database: Database):
    members = work.launch({}, {"model.key": ["mlp", "cnn"]})
    first, _ = train_tasks(database, members)
    work.claim(first)
    assert siblings(database, first) == {}


def test_several_claims_are_as_single_ones(work: Work, database: Database):
    members = work.launch({}, SWEEP)
    first, second, third, fourth = train_tasks(database, members)
    work.claim(second)
    work.claim(third)
    work.age_lease(third)
    with database.read() as session:
        seen = events.head(session)
    claims = claim(database, [first, second, third, fourth])
    assert [(each.task_id, each.run_id, each.token, each.attempt) for each in claims] == [
        (first, members[0], 1, 1),
        (third, members[2], 2, 2),
        (fourth, members[3], 1, 1),
    ]
    with database.write() as session:
        for each in claims:
            tasks.fence(session, each)
            task = tasks.get(session, each.task_id)
            assert task is not None and task.status == Status.RUNNING and task.started_at is not None
    with database.read() as session:
        assert [event.run_id for event in events.since(session, seen)] == [members[0], members[2], members[3]]
    assert claim(database, [first, second, third, fourth]) == []


def test_two_workers_never_claim_the_same_run(work: Work, database: Database):
    task_ids = train_tasks(database, work.launch({}, {"seed": list(range(20))}))
    claimed: list[tasks.Claim] = []
    begin = threading.Barrier(4)

    def take(order: list[int]) -> None:
        begin.wait()
        claimed.extend(claim(database, order))

    threads = [threading.Thread(target=take, args=(order,)) for order in (task_ids, task_ids[::-1]) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.task_id for each in claimed) == task_ids


def test_a_lease_that_is_no_longer_renewed_fades(work: Work, database: Database):
    members = work.launch({}, SWEEP)
    (first, *_) = train_tasks(database, members)

    def fading() -> bool:
        with database.read() as session:
            return stacks.fading(session, members)

    assert not fading()
    work.claim(first)
    assert not fading()
    with database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.id == first).values(lease_until=TaskRow.lease_until - 10))
    assert fading()
    work.age_lease(first)
    assert not fading()
