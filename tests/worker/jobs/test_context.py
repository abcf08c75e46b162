"""Preloading before the fork."""

import logging

import pytest
from sqlalchemy import func, select

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.tables import Base, EventRow, TaskRow
from densitylab.worker.jobs import context
from densitylab.worker.jobs.task_runner import run_task


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(context, "_ready", None)


def _finish(_context, lease) -> None:
    with lease.writing() as session:
        lease.finish(session, Status.SUCCEEDED)


def test_preloading_leaves_no_task_and_a_real_one_compiles_nothing_again(lab):
    context.preload(lab.settings, Catalog.built_in())
    with lab.database.read() as session:
        assert session.scalar(select(func.count()).select_from(TaskRow)) == 0
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0
    _, task_id = lab.launch()
    _, database, _ = context._ready
    compiled = set(database.engine._compiled_cache)
    assert compiled
    run_task(task_id, _finish)
    assert set(database.engine._compiled_cache) == compiled
    with lab.database.read() as session:
        assert session.get_one(TaskRow, task_id).status == Status.SUCCEEDED


def test_a_missing_database_does_not_fail_preloading(lab, caplog):
    Base.metadata.drop_all(lab.database.engine)
    with caplog.at_level(logging.WARNING):
        context.preload(Settings(), Catalog.built_in())
    assert "the database cannot be read yet" in caplog.text
    Base.metadata.create_all(lab.database.engine)
    _, task_id = lab.launch()
    run_task(task_id, _finish)
    with lab.database.read() as session:
        assert session.get_one(TaskRow, task_id).status == Status.SUCCEEDED
