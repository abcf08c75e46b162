"""Exports of models: the files of a trained run, what they hold, and formats that are not possible."""

import importlib.util
import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from densitylab.backend.services import imports
from densitylab.backend.shared.callers import LOCAL
from densitylab.backend.shared.catalog import Catalog, ModelEntry
from densitylab.backend.shared.contracts import (
    Component,
    ExportFormat,
    ImportRequest,
    ModelConfig,
    ModelInterface,
    Status,
    TaskKind,
)
from densitylab.backend.shared.model_config import model_config
from densitylab.backend.shared.store import exports, run_artifacts, tasks
from densitylab.worker import exported_model, loading
from densitylab.worker.export_formats import onnx_file
from densitylab.worker.jobs import export, import_model, train
from densitylab.worker.training import checkpoints

TINY = {"mlp": {"hidden": 8}, "cnn": {"width": 4}, "vit": {"width": 32, "depth": 1}}
ALL = [name.file_name for name in ExportFormat]


@pytest.fixture(scope="module")
def trained(shared_lab):
    run_id, task_id = shared_lab.launch(model={"key": "mlp", "params": {"hidden": 8}}, epochs=1)
    train.run(task_id)
    assert shared_lab.run(run_id).status is Status.SUCCEEDED
    return run_id


def exported(lab, run_id: int, formats: list[ExportFormat]):
    """Export the run; return the task, and the contents of its files that are of the present checkpoint."""
    with lab.database.write() as session:
        task = tasks.create(session, TaskKind.EXPORT, run_id=run_id, payload={"formats": formats}).id
    export.run(task)
    with lab.database.read() as session:
        stored = {name.file_name: row.location for name, row in exports.present(session, run_id).items()}
        return tasks.get(session, task), {name: lab.artifacts.read(location) for name, location in stored.items()}


def model_of(lab, run_id: int) -> torch.nn.Module:
    model = exported_model.build(model_config(Catalog.built_in(), lab.run(run_id)))
    checkpoints.load_weights(lab.artifacts.read(lab.checkpoint(run_id).location), model)
    return model.eval()


def test_a_run_is_exported_loaded_and_exported_again(shared_lab, trained, tmp_path: Path):
    task, files = exported(shared_lab, trained, list(ExportFormat))
    assert task.status is Status.SUCCEEDED and task.error is None and set(files) == set(ALL)
    (tmp_path / "config.json").write_text(model_config(Catalog.built_in(), shared_lab.run(trained)).model_dump_json())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    x = torch.rand(5, 1, 56, 28)
    expected = model_of(shared_lab, trained)(x)
    assert torch.equal(loading.from_files(tmp_path)(x), expected)
    program = torch.export.load(io.BytesIO(files["model.pt2"])).module()
    torch.testing.assert_close(program(x), expected, rtol=0, atol=1e-6)
    graph = onnx_file.read(tmp_path / "model.onnx", None)  # type: ignore[arg-type]
    torch.testing.assert_close(graph(x), expected.detach(), rtol=0, atol=1e-4)

    before = set(shared_lab.artifacts.locations(f"runs/{trained}/exports"))
    exported(shared_lab, trained, list(ExportFormat))
    after = set(shared_lab.artifacts.locations(f"runs/{trained}/exports"))
    assert len(before) == len(after) == 3  # nothing is left of the first


def test_exported_weights_are_imported_again(shared_lab, trained):
    _, files = exported(shared_lab, trained, [ExportFormat.SAFETENSORS])
    shared_lab.artifacts.write("models/exported", files["model.safetensors"])
    spec = shared_lab.run(trained).spec
    body = ImportRequest(dataset=spec.dataset, model=spec.model, normalization="dataset")
    with shared_lab.database.write() as session:
        task_id = imports.request(
            session, Catalog.built_in(), None, body, LOCAL, {}, upload="models/exported", file_name="model.safetensors"
        )
    import_model.run(task_id)
    with shared_lab.database.read() as session:
        task = tasks.get(session, task_id)
    assert task.error is None
    x = torch.rand(5, 1, 56, 28)
    torch.testing.assert_close(model_of(shared_lab, task.run)(x), model_of(shared_lab, trained)(x), rtol=0, atol=1e-6)
    assert shared_lab.run(task.run).source.missing == [] == shared_lab.run(task.run).source.unexpected


def test_a_missing_package_and_other_formats(shared_lab, trained, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: None if name == "onnx" else found(name, *given)
    )
    task, files = exported(shared_lab, trained, [ExportFormat.ONNX, ExportFormat.TORCH_EXPORT])
    assert task.status is Status.FAILED and "model.pt2" in files
    assert task.error == (
        "model.onnx needs the package onnx where the workers run: pip install 'densitylab[export]' there. "
        "Stored: model.pt2."
    )
    assert shared_lab.run(trained).status is Status.SUCCEEDED


def test_a_file_with_other_logits_is_not_stored(shared_lab, trained, monkeypatch):
    def other(model, images, path):
        torch.export.save(torch.export.export(torch.nn.Sequential(model, torch.nn.Tanh()), (images,)), path)

    wrong = export.Format(other, export.FORMATS[ExportFormat.TORCH_EXPORT].read, 1e-6)
    monkeypatch.setitem(export.FORMATS, ExportFormat.TORCH_EXPORT, wrong)
    config = model_config(Catalog.built_in(), shared_lab.run(trained))
    monkeypatch.setattr(export, "BATCHES", (2,))
    with pytest.raises(
        export.NotExported, match=r"model.pt2 was not stored: its logits differ from the model's by 0\."
    ):
        export.tested(wrong, "model.pt2", model_of(shared_lab, trained), config)
    monkeypatch.setattr(export, "BATCHES", (2, 3))  # the file takes two images alone
    with pytest.raises(export.NotExported, match=r"model.pt2 could not be made: "):
        export.tested(wrong, "model.pt2", model_of(shared_lab, trained), config)


def test_a_run_without_a_checkpoint_says_so(lab):
    run_id, _ = lab.launch()
    task, files = exported(lab, run_id, [ExportFormat.SAFETENSORS])
    assert task.status is Status.FAILED and task.error == f"Run {run_id} has no checkpoint: train it first."
    assert files == {}


def test_weights_that_are_not_finite_are_not_exported(shared_lab, trained):
    model = model_of(shared_lab, trained)
    config = model_config(Catalog.built_in(), shared_lab.run(trained))
    with torch.no_grad():
        model[1][-1].bias[0] = torch.nan
        model[1][-1].bias[1] = torch.inf
    with pytest.raises(export.NotExported, match="2 values that are NaN or infinite: the training diverged"):
        export.tested(export.FORMATS[ExportFormat.SAFETENSORS], "model.safetensors", model, config)


ADAPTED = ModelInterface(
    mean=[120.0, 110.0, 100.0],
    std=[60.0, 60.0, 60.0],
    channel_order="bgr",
    value_range="byte",
    image_size=[40, 40],
    outputs=5,
    class_order=[4, 0, 2],
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("interface", [None, ADAPTED], ids=["plain", "adapted"])
@pytest.mark.parametrize("entry", Catalog.built_in().all(ModelEntry), ids=lambda entry: entry.key)
def test_every_network_in_every_format(entry: ModelEntry, interface: ModelInterface | None, tmp_path: Path):
    """Each file is run with one and with three images: all formats take batches of any size."""
    if entry.package is not None:
        pytest.importorskip(entry.package)
    config = ModelConfig(
        densitylab_version="0",
        run=1,
        spec_hash="",
        model=Component(key=entry.key, params=TINY.get(entry.key, {})),
        channels=3,
        image_size=[32, 32],
        num_classes=3,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.2, 0.3],
        interface=interface,
    )
    model = exported_model.build(config)
    model.train()
    with torch.no_grad():
        model(torch.rand(8, 3, 32, 32))  # moves the statistics of batch norm from their start
    model.eval()
    problems = {}
    for name in ExportFormat:
        try:
            content = export.tested(export.FORMATS[name], name.file_name, model, config)
        except export.NotExported as error:
            problems[name] = str(error)
        else:
            (tmp_path / name.file_name).write_bytes(content)
    assert problems == {}
    (tmp_path / "config.json").write_text(config.model_dump_json())
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loading.from_files(tmp_path)(x), model(x))
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "model.safetensors"):
            archive.write(tmp_path / name, f"run-1/{name}")
    with torch.no_grad():
        assert torch.equal(loading.from_files(tmp_path / "model.zip")(x), model(x))


def test_the_config_is_that_of_the_run(shared_lab, trained):
    record = shared_lab.run(trained)
    config = model_config(Catalog.built_in(), record, "0" * 64)
    assert json.loads(config.model_dump_json())["model"] == record.spec.model.model_dump()
    with shared_lab.database.read() as session:
        assert run_artifacts.artifact(session, trained, "model.safetensors") is not None


def test_the_config_names_the_plug_in_of_the_launch(lab):
    record = lab.run(lab.launch()[0])
    used = {"densitylab-example": {"version": "0.1.0", "entries": ["regularizer elastic_net", "model mlp"]}}
    record.provenance = {**record.provenance, "plugins": used}
    plugin = model_config(Catalog.built_in(), record).plugin
    assert plugin is not None and (plugin.package, plugin.version) == ("densitylab-example", "0.1.0")
