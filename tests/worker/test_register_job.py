"""The job that registers, on a real database and real files: all of it, or nothing; then it trains like any other."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import find, mirror_registered, offered
from backend.shared.contracts import Status, TaskKind
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.specs import InvalidRequest, plan
from backend.shared.store import datasets, experiments, registered, runs, tasks
from backend.shared.tables import Base
from worker.jobs import register, train


class Lab:
    def __init__(self):
        self.settings = Settings()
        self.settings.home.mkdir(parents=True)
        self.settings.data_dir.mkdir()
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def register(self, *, label="My Birds", path="birds", upload=None, **options):
        payload = {"label": label, "key": "my_birds", "path": path, "upload": upload, "image_size": None,
                   "mask_marks": "object", "data_seed": 0, **options}
        with self.database.write() as session:
            task_id = tasks.create(session, TaskKind.REGISTER, payload=payload).id
        register.run(task_id)
        with self.database.read() as session:
            mirror_registered(registered.entries(session))
            return tasks.get(session, task_id)

    def row(self):
        with self.database.read() as session:
            return datasets.get(session, "my_birds", {})

    def files(self):
        """All that lies in the data folder and the store, but for the user's own images."""
        return sorted(str(path.relative_to(self.settings.home)) for path in self.settings.home.rglob("*")
                      if path.is_file() and "sqlite" not in path.name and "data/birds" not in str(path))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "home"))
    lab = Lab()
    yield lab
    lab.database.close()
    mirror_registered(())


def images(count=12):
    rng = np.random.default_rng(0)
    for label in ("land", "water"):
        for number in range(count):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
            yield f"{label}/{number}.png", file.getvalue()


def place(lab, **changed):
    for name, content in {**dict(images()), **changed}.items():
        path = lab.settings.data_dir / "birds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_folder_becomes_a_data_set_that_trains(lab):
    place(lab)
    task = lab.register()
    assert task.status == Status.SUCCEEDED, task.error
    entry = find("dataset", "my_birds")
    assert (entry.label, entry.class_names, entry.image_size, entry.train_size) == (
        "My Birds", ("land", "water"), (16, 16), 18)
    assert entry.registered and not entry.has_groups and 0.4 < entry.mean[0] < 0.6
    row = lab.row()
    assert row.ready and row.sizes == {"train": 18, "validation": 2, "test": 4} and row.bytes > 24 * 768
    small = {"dataset": {"key": "my_birds"}, "model": {"key": "mlp", "params": {"hidden": 8}}, "epochs": 1,
             "batch_size": 4, "device": "cpu", "evaluations": []}
    with lab.database.write() as session:
        row = experiments.create(session, name="e", notes="", tags=[], request={}, planned=plan(small, None),
                                 provenance={})
        run_id = experiments.run_ids(session, row.id)[0]
        task_id = runs.train_task(session, run_id)
    train.run(task_id)
    with lab.database.read() as session:
        assert runs.get(session, run_id).status == Status.SUCCEEDED
    with pytest.raises(InvalidRequest, match="expected at most 18, the training images of My Birds"):
        plan(small | {"train_samples": 19}, None)
    with pytest.raises(InvalidRequest, match="needs a mask, which My Birds does not have"):
        plan(small | {"evaluations": [{"key": "leakage"}]}, None)


def test_an_uploaded_archive_is_deleted_once_it_is_registered(lab):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images():
            archive.writestr(name, content)
    lab.artifacts.write("archives/a.zip", file.getvalue())
    assert lab.register(upload="archives/a.zip").status == Status.SUCCEEDED
    assert [name for name in lab.files() if name.endswith(".zip")] == []


def test_a_bad_folder_leaves_nothing_and_what_was_there_before_stays(lab):
    place(lab)
    lab.register()
    before = lab.files()
    place(lab, **{"land/0.png": b"broken"})
    task = lab.register(key="other")
    assert task.status == Status.FAILED
    assert task.error == "My Birds was not registered: land/0.png can't be read: it is no image of a known format."
    assert lab.files() == before and [entry.key for entry in offered("dataset") if entry.registered] == ["my_birds"]


def test_a_bad_archive_is_deleted_too(lab):
    lab.artifacts.write("archives/a.zip", b"no zip")
    task = lab.register(upload="archives/a.zip")
    assert task.status == Status.FAILED and "is not a whole zip archive" in task.error
    assert lab.files() == []


def test_a_second_of_the_same_name_leaves_the_first_alone(lab):
    place(lab)
    lab.register()
    before, row = lab.files(), lab.row()
    task = lab.register()
    assert task.status == Status.FAILED and "There is a data set 'my_birds' already" in task.error
    assert lab.files() == before and lab.row().data_hash == row.data_hash


def test_a_path_that_a_link_leads_out_of_the_data_folder_is_refused(lab, tmp_path):
    place(lab)
    os.rename(lab.settings.data_dir / "birds", tmp_path / "elsewhere")
    (lab.settings.data_dir / "birds").symlink_to(tmp_path / "elsewhere")
    assert "leads out of the data folder" in lab.register().error


def test_a_full_disk_is_said_and_leaves_nothing(lab, monkeypatch):
    from worker.datasets import compact

    place(lab)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compact.np.lib.format, "write_array_header_1_0", full)
    task = lab.register()
    assert task.error == "The disk is full (No space left on device): free some space, then retry."
    assert lab.files() == []
