"""Imports of models, on a real database and real files: a run if the weights fit, else no trace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from densitylab.backend.services import imports, leftovers
from densitylab.backend.services.deletion import delete_experiment, delete_run
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.callers import LOCAL
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.contracts import ImportRequest, InspectRequest, Origin, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import evaluations, experiments, run_artifacts, runs, tasks
from densitylab.backend.shared.store import imports as stored_imports
from densitylab.backend.shared.tables import Base
from densitylab.worker.jobs import evaluate, import_model, inspect_model
from densitylab.worker.jobs.context import opened
from densitylab.worker.jobs.data import open_data
from densitylab.worker.jobs.models import trained_model
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()
BLOCKMNIST = CATALOG.find(DatasetEntry, "blockmnist")
ORDER = {"class_order": list(range(10))}
MODEL = {"key": "cnn", "params": {"width": 4, "norm": "batch"}}


class Lab:
    """A system without a broker: tasks are executed by hand."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.settings.home.mkdir(parents=True)
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def upload(self, path: Path) -> str:
        location = f"models/{abs(hash(str(path))):032x}"[:39]
        with path.open("rb") as file:
            self.artifacts.write_from(location, file)
        return location

    def import_file(self, path: Path, **request: Any) -> Any:
        body = ImportRequest.model_validate({"dataset": {"key": "blockmnist"}, "model": MODEL, **request})
        with self.database.write() as session:
            task_id = imports.request(
                session, CATALOG, None, body, LOCAL, {"version": "1"}, upload=self.upload(path), file_name=path.name
            )
        import_model.run(task_id)
        return self.task(task_id)

    def inspect(self, path: Path, **request: Any) -> Any:
        body = InspectRequest.model_validate(request)
        with self.database.write() as session:
            task_id = imports.inspect(session, CATALOG, body, LOCAL, upload=self.upload(path), file_name=path.name)
        inspect_model.run(task_id)
        return self.task(task_id)

    def task(self, task_id: int) -> Any:
        with self.database.read() as session:
            return tasks.get(session, task_id)

    def run(self, run_id: int) -> Any:
        with self.database.read() as session:
            return runs.get(session, run_id)

    def files(self) -> list[str]:
        """Return the files of models and runs, on this host and in the store."""
        found = [*self.artifacts.locations("models"), *self.artifacts.locations("runs")]
        return sorted([*found, *(path.name for path in self.settings.data_dir.glob(".*") if path.is_file())])


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "home"))
    lab = Lab()
    yield lab
    lab.database.close()


def network(**params: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    return build_model(CATALOG, "cnn", {**MODEL["params"], **params}, BLOCKMNIST)[1].eval()


def test_a_file_becomes_a_run_that_is_evaluated_and_deleted(lab: Lab, tmp_path: Path):
    body = network()
    path = tmp_path / "colleague.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in body.state_dict().items()}}, path)
    task = lab.import_file(
        path, source="A colleague, 2024", notes="mine", tags=["paper"], normalization="half", name="Colleague's"
    )
    assert task.status == Status.SUCCEEDED, task.error
    run = lab.run(task.run)
    assert (run.status, run.origin, run.lambda_, run.task) == (Status.SUCCEEDED, Origin.IMPORTED, None, task.id)
    assert (run.source.file_name, run.source.weights_key, run.source.removed_prefix) == (
        "colleague.pt",
        "state_dict",
        "module.",
    )
    assert run.source.text == "A colleague, 2024" and len(run.source.sha256) == 64 and run.notes == "mine"
    assert (run.spec.interface.mean, run.spec.interface.std) == ([0.5], [0.5]) and run.checkpoint_step == 0
    check = run.source.normalization_check
    assert check.trials[check.chosen].name == "half" and all(0 <= item.low <= item.high <= 1 for item in check.trials)
    assert "at_chance" in {flag.key for flag in run.flags}
    assert run.provenance["version"] == "1" and run.provenance["packages"]["torch"] and run.provenance["data_hash"]
    with lab.database.read() as session:
        (experiment,) = experiments.listing(session, before=None, limit=9)
        stored = run_artifacts.artifact(session, run.id, run_artifacts.CHECKPOINT)
        (accuracy,) = evaluations.of_run(session, run.id)
    assert (experiment.name, experiment.runs, experiment.tags) == ("Colleague's", [run.id], ["paper"])
    assert run.name == "Colleague's"
    images = torch.rand(2, 1, *BLOCKMNIST.image_size)
    with opened() as context:
        model = trained_model(context, run, stored, torch.device("cpu"))
    torch.testing.assert_close(model(images), body((images - 0.5) / 0.5), rtol=0, atol=1e-6)

    evaluate.run(accuracy.task)
    assert lab.run(run.id).measured and "accuracy.accuracy" in lab.run(run.id).results
    delete_run(lab.database, lab.artifacts, run.id)
    assert lab.files() == [] and lab.run(run.id) is None


def test_what_does_not_fit_leaves_neither_run_nor_file(lab: Lab, tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_file(network(width=8).state_dict(), path)
    task = lab.import_file(path)
    assert task.status == Status.FAILED and task.run is None
    assert "other.safetensors was not imported" in task.error and "of another shape" in task.error
    with lab.database.read() as session:
        assert experiments.listing(session, before=None, limit=9) == []
        misfits = stored_imports.misfits(session, task.id)
    assert misfits.total == len(misfits.items) > 3
    shapes = {name: tuple(tensor.shape) for name, tensor in network().state_dict().items()}
    first = misfits.items[0]
    assert (first.problem, tuple(first.network_shape)) == ("wrong_shape", shapes[first.name])
    assert first.file_shape[0] == 2 * first.network_shape[0]
    assert lab.files() == []


def test_a_partial_load_is_asked_for_and_said(lab: Lab, tmp_path: Path):
    weights = network().state_dict()
    removed = next(name for name in weights if name.endswith("weight"))
    path = tmp_path / "part.safetensors"
    save_file({name: value for name, value in weights.items() if name != removed}, path)
    refused = lab.import_file(path)
    assert refused.status == Status.FAILED and removed in refused.error and "partial" in refused.error
    task = lab.import_file(path, partial=True)
    assert task.status == Status.SUCCEEDED, task.error
    run = lab.run(task.run)
    assert run.source.missing == [removed] and "partial_weights" in {flag.key for flag in run.flags}


def test_the_lambda_of_an_import_is_what_somebody_says(lab: Lab, tmp_path: Path):
    path = tmp_path / "a.pt"
    torch.save(network().state_dict(), path)
    task = lab.import_file(path, lambda_=0.5, regularizer={"key": "marginal_density"})
    run = lab.run(task.run)
    assert run.lambda_ == 0.5 and run.spec.regularizer.key == "marginal_density"
    again = lab.import_file(path, experiment=run.experiment)
    assert lab.run(again.run).experiment == run.experiment and lab.run(again.run).lambda_ is None


def test_an_experiment_that_is_deleted_meanwhile_is_not_made_anew(lab: Lab, tmp_path: Path):
    path = tmp_path / "a.pt"
    torch.save(network().state_dict(), path)
    before = lab.run(lab.import_file(path).run)
    body = ImportRequest.model_validate(
        {"dataset": {"key": "blockmnist"}, "model": MODEL, "experiment": before.experiment}
    )
    with lab.database.write() as session:
        task_id = imports.request(session, CATALOG, None, body, LOCAL, {}, upload=lab.upload(path), file_name="a.pt")
        (accuracy,) = evaluations.of_run(session, before.id)
        tasks.request_cancel(session, accuracy.task)
    delete_experiment(lab.database, lab.artifacts, before.experiment)
    import_model.run(task_id)
    task = lab.task(task_id)
    assert task.status == Status.FAILED and task.run is None
    assert task.error == f"Experiment {before.experiment} was deleted meanwhile: import the model into another one."
    with lab.database.read() as session:
        assert experiments.listing(session, before=None, limit=9) == []
    assert lab.files() == []


def test_outputs_are_found_by_the_names_of_classes(lab: Lab, tmp_path: Path):
    names = [str(number) for number in reversed(range(10))]
    weights = network().state_dict()
    path = tmp_path / "named.pt"
    torch.save({"model": weights, "classes": names}, path)
    assert BLOCKMNIST.class_names == tuple(reversed(names))
    run = lab.run(lab.import_file(path, normalization="none").run)
    assert run.spec.interface.class_order == list(reversed(range(10)))
    given = lab.run(lab.import_file(path, class_names=names[::-1], normalization="none").run)
    assert given.spec.interface.class_order is None


@pytest.mark.slow
def test_a_wrong_class_order_is_doubted_and_the_found_one_gives_the_accuracy(lab: Lab, tmp_path: Path):
    model = {"key": "mlp", "params": {"hidden": 64}}
    torch.manual_seed(0)
    body = build_model(CATALOG, "mlp", model["params"], BLOCKMNIST)[1].train()
    with opened() as context:
        data = open_data(context, "blockmnist", {}, should_stop=lambda: False, progress=lambda _: None).load("train")
    images = (data.images.float() / 255 - 0.5) / 0.5
    optimizer = torch.optim.Adam(body.parameters(), 2e-3)
    for rows in torch.cat([torch.randperm(len(data)) for _ in range(5)]).split(50):
        loss = torch.nn.functional.cross_entropy(body(images[rows]), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = body.state_dict()
    order = torch.tensor([8, 5, 4, 9, 1, 0, 7, 6, 3, 2])  # of the outputs, by their digits' names
    last_weight, last_bias = list(weights)[-2:]
    shuffled = {**weights, last_weight: weights[last_weight][order], last_bias: weights[last_bias][order]}
    path = tmp_path / "alphabetical.pt"
    torch.save(shuffled, path)

    run = lab.run(lab.import_file(path, model=model).run)
    flags = {flag.key: flag.text for flag in run.flags}
    expected = order.argsort().tolist()
    assert "class_order_doubtful" in flags and "normalization_doubtful" not in flags
    assert f"import it with class_order {expected}." in flags["class_order_doubtful"]
    assert run.spec.interface.class_order is None  # never changed silently
    check = run.source.normalization_check
    mended = lab.run(lab.import_file(path, model=model, class_order=expected).run)
    assert mended.flags == [] and mended.spec.interface.class_order == expected
    found, again = check.trials[check.chosen], mended.source.normalization_check.trials[0]
    assert (found.mean, found.std) == (again.mean, again.std) and again.accuracy > 0.5 > found.accuracy
    named = lab.run(lab.import_file(path, model=model, class_names=[str(index) for index in range(10)]).run)
    assert "class_order_doubtful" not in {flag.key for flag in named.flags}


@pytest.mark.slow
def test_an_inspected_file_is_imported_and_forgotten_with_its_inspection(lab: Lab, tmp_path: Path):
    path = tmp_path / "net.pth"
    weights = {f"net.{name}": value.half() for name, value in network().state_dict().items()}
    torch.save({"net": weights, "acc": np.float64(91.5), "epoch": 12}, path)
    task = lab.inspect(path, dataset={"key": "blockmnist"})
    assert task.status == Status.SUCCEEDED, task.error
    with lab.database.read() as session:
        found, location = stored_imports.inspection(session, task.id)
    assert (found.weights_key, found.removed_prefix, found.outputs, found.channels) == ("net", "net.", 10, 1)
    assert found.entries == {"acc": "91.5", "epoch": "12"} and found.dtypes["float16"] > 0
    best = found.models[0]
    assert (best.key, best.complete) == ("cnn", True) and best.params == {"width": 4, "norm": "batch"}
    leftovers.delete_orphans(lab.database, lab.artifacts, settled_seconds=-1)
    assert lab.files() == [location]

    body = ImportRequest.model_validate({"upload": task.id, "dataset": {"key": "blockmnist"}, "model": MODEL})
    with lab.database.write() as session:
        importing = imports.request(session, CATALOG, None, body, LOCAL, {"version": "1"})
    import_model.run(importing)
    run = lab.run(lab.task(importing).run)
    assert run.source.file_name == "net.pth" and run.source.sha256 == found.sha256
    with lab.database.write() as session:
        session.delete(session.get_one(tasks.TaskRow, task.id))
    leftovers.delete_orphans(lab.database, lab.artifacts, settled_seconds=-1)
    assert location not in lab.files() and len(lab.files()) == 1


def test_a_cancelled_or_killed_import_leaves_nothing(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.pt"
    torch.save(network().state_dict(), path)

    def full(*_: Any, **__: Any) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(stored_imports, "add_run", full)
    task = lab.import_file(path)
    assert task.status == Status.FAILED and lab.files() == []
    with lab.database.read() as session:
        assert experiments.listing(session, before=None, limit=9) == []


def test_what_a_hostile_file_names_is_bounded_and_can_be_stored(lab: Lab, tmp_path: Path):
    state = network().state_dict()
    path = tmp_path / "hostile.pt"
    torch.save({**state, **{f"x{index:05}." + "n" * 900: torch.ones(1) for index in range(3000)}}, path)
    task = lab.import_file(path)
    assert task.status == Status.FAILED and len(task.error) <= 4000
    task = lab.import_file(path, partial=True)
    assert task.status == Status.SUCCEEDED, task.error
    unexpected = lab.run(task.run).source.unexpected
    assert len(unexpected) == 1001 and unexpected[-1] == "… and 2,000 more"
    torch.save({"state_dict": {**state, "a\x00b": torch.ones(1)}}, path)
    for task in (lab.import_file(path), lab.inspect(path)):
        assert task.status == Status.FAILED and "control characters, 'a\\x00b'" in task.error
    assert lab.files() == [item for item in lab.files() if item.startswith("runs/")]


def test_published_weights_without_a_way_to_the_internet_are_a_sentence(
    lab: Lab, tmp_path: Path, monkeypatch: Any, offline: None
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = {"key": "torchvision", "params": {"name": "squeezenet1_1", "pretrained": True}}
    body = ImportRequest.model_validate(
        {"dataset": {"key": "textured_digits"}, "model": model, "outputs": 1000} | ORDER
    )
    with lab.database.write() as session:
        task_id = imports.request(session, CATALOG, None, body, LOCAL, {"version": "1"})
    import_model.run(task_id)
    task = lab.task(task_id)
    assert task.status == Status.FAILED and task.run is None
    assert "the pretrained weights of squeezenet1_1 could not be downloaded from https://" in task.error
    assert "Connection refused" in task.error and "go online, put that file into" in task.error
