"""What is made ready before the fork."""

import logging

import pytest
from sqlalchemy import func, select

from backend.shared.contracts import Status
from backend.shared.settings import Settings
from backend.shared.tables import Base, EventRow, TaskRow
from worker.jobs import context
from worker.jobs.running import run_task


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(context, "_ready", None)


def _finish(_context, lease) -> None:
    with lease.writing() as session:
        lease.finish(session, Status.SUCCEEDED)


def test_the_rehearsed_task_leaves_nothing_and_a_real_one_compiles_nothing_again(lab):
    context.make_ready(lab.settings)
    with lab.database.read() as session:
        assert session.scalar(select(func.count()).select_from(TaskRow)) == 0
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0
    _, task_id = lab.launch()
    _, database = context._ready
    compiled = set(database.engine._compiled_cache)
    assert compiled
    run_task(task_id, _finish)
    assert set(database.engine._compiled_cache) == compiled
    with lab.database.read() as session:
        assert session.get_one(TaskRow, task_id).status == Status.SUCCEEDED


def test_a_database_that_is_not_there_yet_only_costs_the_rehearsal(lab, caplog):
    Base.metadata.drop_all(lab.database.engine)
    with caplog.at_level(logging.WARNING):
        context.make_ready(Settings())
    assert "the database cannot be read yet" in caplog.text
    Base.metadata.create_all(lab.database.engine)
    _, task_id = lab.launch()
    run_task(task_id, _finish)
    with lab.database.read() as session:
        assert session.get_one(TaskRow, task_id).status == Status.SUCCEEDED
