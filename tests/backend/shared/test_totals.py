"""Kept numbers of tasks and bytes against the rows that they count."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from densitylab.backend.reconciler import System, merge_totals
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import runs, tasks, totals
from densitylab.backend.shared.tables import ArtifactRow, EventRow, TaskRow

ENDS = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


def compare(database: Database) -> dict[tuple[str, str], int]:
    """Compare the kept numbers with counts of the rows, and return those of tasks."""
    with database.read() as session:
        rows = session.execute(
            select(TaskRow.kind, TaskRow.status, func.count()).group_by(TaskRow.kind, TaskRow.status)
        )
        counted = {(kind, status): number for kind, status, number in rows}
        assert totals.tasks(session) == counted
        ended = session.execute(
            select(EventRow.status, func.count())
            .where(EventRow.kind == TaskKind.TRAIN, EventRow.status.in_(ENDS))
            .group_by(EventRow.status)
        )
        assert totals.ended(session) == dict(ended.tuples().all())
        assert totals.artifact_bytes(session) == (session.scalar(select(func.sum(ArtifactRow.bytes))) or 0)
    return counted


def test_they_follow_every_change(work: Any, system: System, client: TestClient):
    assert compare(system.database) == {}
    done, failed, cancelled = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": [0, 1, 2]})
    work.train(done)
    work.finish_evaluations(done)
    work.checkpoint(held := work.start(failed), 1, b"longer weights")
    work.checkpoint(held, 2, b"w")
    work.end(held, Status.FAILED, "no")
    client.post(f"/api/v1/runs/{cancelled}/cancel")
    counted = compare(system.database)
    assert counted[TaskKind.TRAIN, Status.SUCCEEDED] == counted[TaskKind.TRAIN, Status.FAILED] == 1
    assert counted[TaskKind.EVALUATE, Status.CANCELLED] == 2
    with system.database.read() as session:
        assert totals.ended(session) == dict.fromkeys(ENDS, 1)
    client.post(f"/api/v1/runs/{failed}/retry")
    assert compare(system.database)[TaskKind.TRAIN, Status.QUEUED] == 1
    client.delete(f"/api/v1/runs/{done}")  # with its tasks and artifacts, by the foreign keys
    assert (TaskKind.TRAIN, Status.SUCCEEDED) not in compare(system.database)


def test_a_transaction_that_is_rolled_back_leaves_them(work: Any, system: System):
    (run_id,) = work.launch({"evaluations": []})
    before = compare(system.database)
    with pytest.raises(RuntimeError), system.database.write() as session:
        tasks.request_cancel(session, runs.train_task(session, run_id) or 0)
        raise RuntimeError
    assert compare(system.database) == before


def test_merged_rows_have_the_same_sums(work: Any, system: System, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(totals, "_MERGED", 10)
    work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": list(range(10))})
    work.train(1)
    before = compare(system.database)
    merge_totals(system)
    with system.database.read() as session:
        left = session.scalar(select(func.count()).select_from(totals.TABLE))
    assert compare(system.database) == before and left is not None and left <= 6
