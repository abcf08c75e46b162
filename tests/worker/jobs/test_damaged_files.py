"""Jobs that meet damaged checkpoints and damaged images."""

import shutil
from pathlib import Path

import pytest
import torch

from densitylab.backend.shared import npz
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import attributions, datasets, run_artifacts, tasks
from densitylab.worker.datasets import npy_store
from densitylab.worker.jobs import attribute, checkpointing, density, evaluate, prepare, train
from densitylab.worker.runtime import stop_signal
from tests.worker.jobs.test_jobs import when

SPEC = {"epochs": 8, "evaluations": [{"key": "accuracy"}]}
BLOCKMNIST = {"data_seed": 0}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def checkpoint_files(lab, run_id: int) -> list[Path]:
    """The newest first."""
    with lab.database.read() as session:
        locations = run_artifacts.checkpoint_locations(session, run_id)
    return [Path(lab.settings.artifacts_url) / location for location in locations]


def interrupted(lab, monkeypatch) -> tuple[int, int]:
    """(run, task) of a run that has stopped with two checkpoints."""
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpointing, "SHARE_OF_TIME", 1.0)
    run_id, task_id = lab.launch(**SPEC)
    with when(lambda: len(checkpoint_files(lab, run_id)) == 2, lambda: stop_signal.request(True)):
        train.run(task_id)
    stop_signal.request(False)
    files = checkpoint_files(lab, run_id)
    assert len(files) == len(lab.artifacts.locations(f"runs/{run_id}/checkpoints")) == 2
    return run_id, task_id


@pytest.fixture
def reference(lab) -> int:
    run_id, task_id = lab.launch(**SPEC)
    train.run(task_id)
    return run_id


def assert_same(lab, run_id: int, reference: int) -> None:
    assert lab.run(run_id).status == Status.SUCCEEDED, lab.run(run_id).error
    assert lab.rows(run_id) == lab.rows(reference)
    for name, tensor in lab.weights(reference).items():
        assert torch.equal(tensor, lab.weights(run_id)[name]), name
    assert [file.name for file in checkpoint_files(lab, run_id)] == [
        location.rpartition("/")[2] for location in lab.artifacts.locations(f"runs/{run_id}/checkpoints")
    ]
    assert len(checkpoint_files(lab, run_id)) == 1


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [damage, missing, empty])
def test_a_run_continues_from_the_checkpoint_before_a_damaged_one(lab, reference, monkeypatch, spoil):
    run_id, task_id = interrupted(lab, monkeypatch)
    newest, before = checkpoint_files(lab, run_id)
    spoil(newest)
    train.run(task_id)
    log = lab.log(run_id)
    assert "can't be used, so training starts from the one of step" in log and "from scratch" not in log
    assert f"continues from the checkpoint of step {before.name.split('-')[1].split('.')[0]}" in log
    assert str(lab.settings.home) not in log and "weights_only" not in log
    assert_same(lab, run_id, reference)


def test_with_both_damaged_a_run_starts_from_scratch(lab, reference, monkeypatch):
    run_id, task_id = interrupted(lab, monkeypatch)
    for file in checkpoint_files(lab, run_id):
        damage(file)
    train.run(task_id)
    assert lab.log(run_id).count("does not agree with its checksum") == 2 and "from scratch" in lab.log(run_id)
    assert_same(lab, run_id, reference)


def test_without_memory_a_checkpoint_is_kept(lab, monkeypatch):
    run_id, task_id = interrupted(lab, monkeypatch)
    files = checkpoint_files(lab, run_id)

    def no_memory(*_given, **_options):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", no_memory)
        train.run(task_id)
    assert lab.run(run_id).status == Status.FAILED and "Out of memory" in lab.run(run_id).error
    assert checkpoint_files(lab, run_id) == files and all(file.exists() for file in files)


@pytest.mark.parametrize("checked", [True, False])
def test_every_reader_of_a_damaged_checkpoint_says_so(lab, reference, checked):
    (file,) = checkpoint_files(lab, reference)
    if not checked:  # as stored by older versions
        plain = file.with_name("1-48.pt")
        file.rename(plain)
        with lab.database.write() as session:
            run_artifacts.artifact(
                session, reference, run_artifacts.CHECKPOINT
            ).location = f"runs/{reference}/checkpoints/1-48.pt"
        file = plain
    damage(file)
    transferred, task_id = lab.launch(**SPEC)
    train.run(task_id)
    transfer = {"key": "transfer_linf", "params": {"source": reference, "samples": 20, "steps": 2}}
    other, task_id = lab.launch(epochs=1, evaluations=[transfer])
    train.run(task_id)
    evaluate.run(lab.evaluations(reference)["accuracy"].task)
    evaluate.run(lab.evaluations(other)["transfer_linf"].task)
    with lab.database.write() as session:
        asked = {
            "runs": [transferred, reference],
            "samples": {"split": "test", "indices": [0]},
            "method": "gradient",
            "params": {},
            "target": "label",
            "perturbation": None,
        }
        maps = attributions.get(session, attributions.create(session, asked, "hash")).task
        asked = {"runs": [reference], "index": 0, "split": "test", "direction": "gradient", "extent": 1.0, "steps": 5}
        slices = attributions.density(session, attributions.create(session, asked, "h", TaskKind.DENSITY)).task
    attribute.run(maps)
    density.run(slices)
    with lab.database.read() as session:
        errors = [tasks.get(session, task).error for task in (maps, slices)]
    errors += [lab.evaluations(reference)["accuracy"].error, lab.evaluations(other)["transfer_linf"].error]
    assert len(set(errors)) == 1
    assert f"checkpoint of run {reference} can't be used" in errors[0] and "Launch the run again." in errors[0]
    assert "checksum" in errors[0] and "/" not in errors[0] and "weights_only" not in errors[0]
    assert "weights_only" not in lab.log(reference) and "site-packages" not in lab.log(reference)


@pytest.fixture
def own_data(tmp_path, monkeypatch, data_folder):
    """A data folder to damage."""
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    monkeypatch.setenv("DENSITYLAB_DATA_DIR", str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("train/images.npy", damage),
        ("test/labels.npy", damage),
        ("validation/images.npy", missing),
        ("manifest.json", damage),
        ("manifest.json", empty),
    ],
)
@pytest.mark.few(2)
def test_a_damaged_prepared_data_set_is_made_again(lab, reference, own_data, name, spoil):
    root = datasets.prepared_folder(own_data, "blockmnist", BLOCKMNIST)
    spoil(root / name)
    run_id, task_id = lab.launch(**SPEC)
    train.run(task_id)
    evaluate.run(lab.evaluations(run_id)["accuracy"].task)
    assert_same(lab, run_id, reference)
    assert lab.evaluations(run_id)["accuracy"].status == Status.SUCCEEDED
    for split in npy_store.SPLITS:
        npy_store.arrays(root, split)
    assert [path for path in root.parent.iterdir() if path.name.startswith(".")] == []


def test_a_preparation_stores_damaged_images_of_the_api_again(lab, reference):
    with lab.database.read() as session:
        location = datasets.get(session, "blockmnist", BLOCKMNIST).samples_location
    damage(Path(lab.settings.artifacts_url) / location)
    assert not npz.intact(lab.artifacts, location)
    with lab.database.write() as session:
        task = tasks.create(session, TaskKind.PREPARE, payload={"key": "blockmnist", "params": BLOCKMNIST})
    prepare.run(task.id)
    assert npz.intact(lab.artifacts, location)
