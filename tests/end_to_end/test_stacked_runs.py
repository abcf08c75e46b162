"""A worker trains the runs of a sweep as one; when its process is killed they go on together, bit for bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from densitylab.backend.shared.database import Database
from tests.end_to_end.training_system import System, assert_undisturbed, launch_sweep, started, step_of, until

SWEEP = {"lambda_": [0.0, 0.1, 1.0]}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setenv("DENSITYLAB_STACK_RUNS", "always")
    with started(tmp_path) as system:
        yield system


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_trains_as_one_and_survives_the_kill_of_its_process(system: System):
    database = Database(system.settings.database_url)
    undisturbed = launch_sweep(system.settings, database, SWEEP)
    system.start_worker()
    until(lambda records: all(record.status.final for record in records.values()), database, undisturbed)
    watches = launch_sweep(system.settings, database, SWEEP)
    first = watches[0]
    until(lambda records: step_of(records[first.run]) > 100 and bool(first.processes), database, watches)
    processes = {watch.process() for watch in watches}
    assert processes == {first.process()}, "one process trains all of them"
    first.process().kill()
    until(lambda records: all(record.status.final for record in records.values()), database, watches)
    for watch, reference in zip(watches, undisturbed, strict=True):
        assert_undisturbed(database, system.settings, [watch], reference)
        record = watch.look(database)
        assert record.attempt == 2 and record.provenance["stacked"] == {"runs": [each.run for each in watches]}
    database.close()
