"""A state folder of version 0.1.0 opens in this version: runs, maps, evaluations, and a run that was killed half-way.

`tests/data/state-0.1.0.zip` was made by the last commit of 0.1.0: two finished runs with four evaluations each and
their maps (runs 1 and 2), a finished run of 60 epochs (run 3), and the same run killed with its machine at 48 %, with a
checkpoint of step 300 (run 4). Prepared data and the broker's files are left out.
"""

import io
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from densitylab.backend.shared.contracts import AttributionRequest, Samples, Status
from tests.end_to_end.systems import RunningSystem, started

pytestmark = pytest.mark.slow

STATE = Path(__file__).parents[1] / "data" / "state-0.1.0.zip"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        with zipfile.ZipFile(STATE) as archive:
            archive.extractall(folder)
        yield Path(folder)


@pytest.fixture(scope="module")
def stored(home: Path) -> list[tuple[Any, ...]]:
    """Values that version 0.1.0 stored: run, name, value."""
    with closing(sqlite3.connect(home / "densitylab.sqlite")) as database:
        return database.execute("SELECT run_id, name, value FROM result_values").fetchall()


@pytest.fixture(scope="module")
def system(home: Path, stored: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    log = tmp_path_factory.mktemp("old") / "log.txt"
    with started(home, log, {"DENSITYLAB_THREADS": "1"}) as running:
        yield running


def test_runs_and_results_are_those_that_were_stored(system: RunningSystem, stored: list[tuple[Any, ...]]):
    assert {run_id for run_id, _, _ in stored} == {1, 2, 3}
    for run_id, name, value in stored:
        assert system.client.run(run_id).results[name].value == value
    run = system.client.run(1)
    assert (run.status, run.provenance["commit"], run.missing) == (Status.SUCCEEDED, "fed4187f0989", [])
    experiment = system.client.experiment(run.experiment)
    assert (experiment.notes, experiment.tags) == ("made by 0.1.0", ["old"])
    evaluations = system.client.evaluations(1)
    assert [item.key for item in evaluations] == ["accuracy", "leakage", "pgd_linf", "stability"]
    assert evaluations[2].curves["accuracy"].x == [0, 0.1]
    assert system.client.metrics(3, names=["loss"])[0].total == 1080  # every second step


def test_maps_are_kept_and_new_ones_are_drawn(system: RunningSystem):
    request = AttributionRequest(
        runs=[1, 2], method="gradient", samples=Samples(split="test", indices=[0, 1, 2]), target="label"
    )
    kept = system.client.attribute(request)
    assert kept.status is Status.SUCCEEDED and kept.created_at < system.client.run(4).started_at
    drawn = system.client.draw(request.model_copy(update={"method": "smoothgrad"}))
    assert drawn.status is Status.SUCCEEDED


def test_an_evaluation_is_added_to_an_old_run(system: RunningSystem):
    system.client.evaluate(1, {"key": "pgd_l2", "params": {"steps": 3, "samples": 50}})
    (run,) = system.client.wait(runs=[1], timeout=240)
    assert run.results["pgd_l2.accuracy"].n == 50


def test_the_run_that_was_killed_goes_on_from_its_checkpoint(system: RunningSystem, home: Path):
    client = system.client
    (run,) = client.wait(runs=[4], timeout=240)
    assert (run.status, run.attempt) == (Status.SUCCEEDED, 2), run.error
    assert any("step 300" in line.text for line in client.log(4))
    again = client.launch({"name": "again", "spec": client.run(3).spec.model_dump()})
    client.wait(again.id, timeout=240)
    whole, resumed, new = (curves(system, run_id) for run_id in (3, 4, again.runs[0]))
    assert resumed.keys() == whole.keys() == new.keys()
    if new == whole:  # a machine that computes the same bits as the one where the state was made
        assert resumed == whole
        weights = [torch.load(io.BytesIO(client.artifact(n, "checkpoint.pt")), weights_only=True) for n in (3, 4)]
        for name, tensor in weights[0]["weights"].items():
            assert torch.equal(tensor, weights[1]["weights"][name]), name
    else:
        accuracy = [client.run(run_id).results["accuracy.accuracy"].value for run_id in (3, 4)]
        assert accuracy[0] == pytest.approx(accuracy[1], abs=0.05)


def curves(system: RunningSystem, run_id: int) -> dict[str, list[tuple[int, float]]]:
    """Every curve but those that depend on the clock."""
    series = system.client.metrics(run_id, max_points=10_000)
    return {
        item.name: [(point.step, point.value) for point in item.points]
        for item in series
        if not item.name.startswith("images_per_second")
    }
