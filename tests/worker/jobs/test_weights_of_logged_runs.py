"""Weights of runs that a training loop elsewhere logged: through the import into the same run."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from densitylab.backend.services import imports, logged_runs
from densitylab.backend.services.deletion import delete_run
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.contracts import FinishRequest, ImportRequest, LogRequest, Origin, PointsRequest, Status
from densitylab.backend.shared.errors import Conflict, DomainError, InvalidField, NotFound
from densitylab.backend.shared.store import evaluations, run_artifacts
from densitylab.frontend.client.weights_file import weights_file
from densitylab.worker.jobs import evaluate, import_model
from densitylab.worker.jobs.context import opened
from densitylab.worker.jobs.models import trained_model
from tests.worker.jobs.test_import_job import BLOCKMNIST, CATALOG, MODEL, Lab, lab, network

__all__ = ["lab"]  # a fixture


def logged(lab: Lab, **fields: Any) -> int:
    request = LogRequest.model_validate({"dataset": {"key": "blockmnist"}, **fields})
    with lab.database.write() as session:
        run = logged_runs.create(session, CATALOG, request, {"version": "1"}, 3600.0, LOCAL)
    points = PointsRequest.model_validate({"points": [{"name": "loss", "step": 70, "value": 0.5}]})
    logged_runs.record(lab.database, run, points, 3600.0)
    return run


def finish(lab: Lab, run: int) -> None:
    with lab.database.write() as session:
        logged_runs.finish(session, run, FinishRequest())


def saved(module: torch.nn.Module, folder: Path) -> Path:
    with weights_file(module) as (file, name):
        (folder / name).write_bytes(file.read())
    return folder / name


@pytest.mark.parametrize("ended", [False, True], ids=["before its end", "after its end"])
def test_a_logged_run_gets_weights_and_evaluations(lab: Lab, tmp_path: Path, ended: bool):
    run_id = logged(lab, name="mine", lambda_=0.5, params={"lr": 0.1})
    if ended:
        finish(lab, run_id)
    body = network()
    task = lab.import_file(saved(body, tmp_path), run=run_id, normalization="half", evaluations=[{"key": "leakage"}])
    assert task.status == Status.SUCCEEDED, task.error
    assert task.run is None
    if not ended:
        assert lab.run(run_id).status == Status.RUNNING
        finish(lab, run_id)
    run = lab.run(run_id)
    assert (run.status, run.origin, run.lambda_, run.checkpoint_step) == (Status.SUCCEEDED, Origin.LOGGED, 0.5, 70)
    assert run.spec.model.key == "cnn" and run.spec.interface.mean == [0.5]
    assert run.source.file_name == "model.safetensors" and run.provenance["params"] == {"lr": 0.1}
    assert run.metrics == {"loss": 0.5} and run.provenance["data_hash"]
    # The training's host, device and packages are not those of the worker that read the weights
    assert run.device is None and not {"packages", "host", "device", "threads"} & run.provenance.keys()
    assert run.provenance["version"] == "1" and run.provenance["weights_read"]["packages"]["torch"]
    with lab.database.read() as session:
        requested = evaluations.of_run(session, run_id)
        stored = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
    assert [item.key for item in requested] == ["accuracy", "leakage"]
    for item in requested:
        evaluate.run(item.task)
    assert lab.run(run_id).measured and {"accuracy.accuracy", "leakage.share"} <= lab.run(run_id).results.keys()
    images = torch.rand(2, 1, *BLOCKMNIST.image_size)
    with opened() as context:
        model = trained_model(context, run, stored, torch.device("cpu"))
    torch.testing.assert_close(model(images), body((images - 0.5) / 0.5), rtol=0, atol=1e-6)
    delete_run(lab.database, lab.artifacts, run_id)
    assert lab.files() == []


def test_weights_that_do_not_fit_leave_the_run_as_it_was(lab: Lab, tmp_path: Path):
    run_id = logged(lab)
    before = lab.run(run_id)
    task = lab.import_file(saved(network(width=8), tmp_path), run=run_id)
    assert task.status == Status.FAILED and "of another shape" in task.error
    after = lab.run(run_id)
    assert (after.spec, after.source, after.status) == (before.spec, None, Status.RUNNING)
    assert lab.files() == []


def test_a_run_takes_weights_once(lab: Lab, tmp_path: Path):
    run_id, path = logged(lab), saved(network(), tmp_path)
    body = ImportRequest.model_validate({"dataset": {"key": "blockmnist"}, "model": MODEL, "run": run_id})
    tasks = []
    for _ in range(2):  # requested at the same time
        with lab.database.write() as session:
            upload = lab.upload(path)
            tasks.append(imports.request(session, CATALOG, None, body, LOCAL, {}, upload=upload, file_name="m"))
    import_model.run(tasks[0])
    lab.upload(path)
    import_model.run(tasks[1])
    first, second = map(lab.task, tasks)
    assert first.status == Status.SUCCEEDED, first.error
    assert second.status == Status.FAILED and "has got other weights meanwhile" in second.error
    with pytest.raises(Conflict, match="has weights already"):
        lab.import_file(path, run=run_id)


@pytest.mark.parametrize(
    ("changes", "error", "pointer"),
    [
        ({"run": 99}, NotFound, "/run"),
        ({"experiment": 1}, InvalidField, "/experiment"),
        ({"dataset": {"key": "textured_digits"}}, InvalidField, "/dataset"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    lab: Lab, tmp_path: Path, changes: dict[str, Any], error: type[DomainError], pointer: str
):
    run_id = logged(lab)
    with pytest.raises(error) as refused:
        lab.import_file(saved(network(), tmp_path), **{"run": run_id, **changes})
    assert refused.value.errors[0].pointer == pointer


def test_an_imported_run_takes_no_weights_and_a_strangers_none_either(lab: Lab, tmp_path: Path):
    path = saved(network(), tmp_path)
    imported = lab.import_file(path).run
    with pytest.raises(InvalidField, match="is not one that a training loop of your own logged"):
        lab.import_file(path, run=imported)
    run_id = logged(lab)
    body = ImportRequest.model_validate({"dataset": {"key": "blockmnist"}, "model": MODEL, "run": run_id})
    stranger = Caller("stranger", token=7, changes_all=False)
    with pytest.raises(DomainError, match="belongs to somebody else"), lab.database.write() as session:
        imports.request(session, CATALOG, None, body, stranger, {}, upload="models/x", file_name="m")


def test_the_file_of_a_module_has_its_weights_also_shared_ones(tmp_path: Path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    module.append(module[0])
    from safetensors.torch import load

    expected = copy.deepcopy(module.state_dict())
    with weights_file(module) as (file, name):
        found = load(file.read())
    assert name == "model.safetensors" and found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    path = tmp_path / "a.pt"
    path.write_bytes(b"as it is")
    with weights_file(path) as (file, name):
        assert (file.read(), name) == (b"as it is", "a.pt")
