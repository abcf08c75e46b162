"""Deletion of runs with many points."""

from typing import Any

import pytest
from sqlalchemy import event, func, select

from densitylab.backend.reconciler import System
from densitylab.backend.services import deletion
from densitylab.backend.shared.store import metrics, runs
from densitylab.backend.shared.store.metrics import Point
from densitylab.backend.shared.tables import MetricRow


@pytest.mark.parametrize("count", [0, 10, 23])
def test_points_are_deleted_in_batches_and_those_of_other_runs_stay(
    work: Any, system: System, monkeypatch: pytest.MonkeyPatch, count: int
):
    monkeypatch.setattr(deletion, "_POINTS", 10)
    deleted, kept = work.launch({"evaluations": []}, {"seed": [0, 1]})
    for run_id in (deleted, kept):
        work.train(run_id)
        work.finish_evaluations(run_id)
        with system.database.write() as session:
            for name in ("loss", "penalty"):
                metrics.append(session, run_id, [Point(name, step, 0, 1.0, 0) for step in range(count)])
    sizes: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM metrics"):
            sizes.append(cursor.rowcount)

    event.listen(system.database.engine, "after_cursor_execute", note)
    deletion.delete_run(system.database, system.store, deleted)
    event.remove(system.database.engine, "after_cursor_execute", note)
    assert sum(sizes) == 2 * count and all(size <= 10 for size in sizes)
    with system.database.read() as session:
        left = session.execute(select(MetricRow.run_id, func.count()).group_by(MetricRow.run_id)).all()
        assert not runs.exists(session, deleted)
    assert [tuple(row) for row in left] == ([(kept, 2 * count)] if count else [])
