"""Registration jobs, on a real database and real files: complete or without effect."""

import io
import os
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.specs import InvalidRequest, plan
from densitylab.backend.shared.store import datasets, experiments, registered_datasets, runs, tasks
from densitylab.backend.shared.tables import Base, TaskRow
from densitylab.worker.datasets import image_source, npy_store
from densitylab.worker.jobs import register, train
from densitylab.worker.jobs.failures import sentence
from densitylab.worker.runtime import room
from tests.worker.datasets.own_image_files import bird_files, birds, csv, write

CATALOG = Catalog.built_in()


class Lab:
    def __init__(self):
        self.settings = Settings()
        self.settings.home.mkdir(parents=True)
        self.settings.data_dir.mkdir()
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def register(self, *, label="My Birds", path="birds", upload=None, **options):
        payload = {
            "label": label,
            "key": "my_birds",
            "path": path,
            "upload": upload,
            "image_size": None,
            "mask_marks": "object",
            "data_seed": 0,
            **options,
        }
        with self.database.write() as session:
            task_id = tasks.create(session, TaskKind.REGISTER, payload=payload).id
        register.run(task_id)
        with self.database.read() as session:
            return tasks.get(session, task_id)

    def catalog(self):
        with self.database.read() as session:
            return registered_datasets.with_registered(session, CATALOG)

    def row(self):
        with self.database.read() as session:
            return datasets.get(session, "my_birds", {})

    def files(self):
        """All files in the data folder and the store, except the user's own images."""
        return sorted(
            str(path.relative_to(self.settings.home))
            for path in self.settings.home.rglob("*")
            if path.is_file() and "sqlite" not in path.name and "data/birds" not in str(path)
        )


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "home"))
    lab = Lab()
    yield lab
    lab.database.close()


def images(count=12):
    rng = np.random.default_rng(0)
    for label in ("land", "water"):
        for number in range(count):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
            yield f"{label}/{number}.png", file.getvalue()


def place_folder(lab, **changed):
    for name, content in {**dict(images()), **changed}.items():
        path = lab.settings.data_dir / "birds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_folder_becomes_a_data_set_that_trains(lab):
    place_folder(lab)
    task = lab.register()
    assert task.status == Status.SUCCEEDED, task.error
    entry = lab.catalog().find("dataset", "my_birds")
    assert (entry.label, entry.class_names, entry.image_size, entry.train_size) == (
        "My Birds",
        ("land", "water"),
        (16, 16),
        18,
    )
    assert entry.registered and not entry.has_groups and 0.4 < entry.mean[0] < 0.6
    row = lab.row()
    assert row.ready and row.sizes == {"train": 18, "validation": 2, "test": 4} and row.bytes > 24 * 768
    small = {
        "dataset": {"key": "my_birds"},
        "model": {"key": "mlp", "params": {"hidden": 8}},
        "epochs": 1,
        "batch_size": 4,
        "device": "cpu",
        "evaluations": [],
    }
    with lab.database.write() as session:
        row = experiments.create(
            session, name="e", notes="", tags=[], request={}, planned=plan(lab.catalog(), small, None), provenance={}
        )
        run_id = experiments.run_ids(session, row.id)[0]
        task_id = runs.train_task(session, run_id)
    train.run(task_id)
    with lab.database.read() as session:
        assert runs.get(session, run_id).status == Status.SUCCEEDED
    with pytest.raises(InvalidRequest, match="expected at most 18, the training images of My Birds"):
        plan(lab.catalog(), small | {"train_samples": 19}, None)
    with pytest.raises(InvalidRequest, match="needs a mask, which My Birds does not have"):
        plan(lab.catalog(), small | {"evaluations": [{"key": "leakage"}]}, None)


def test_an_uploaded_archive_is_deleted_once_it_is_registered(lab):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images():
            archive.writestr(name, content)
    lab.artifacts.write("archives/a.zip", file.getvalue())
    assert lab.register(upload="archives/a.zip").status == Status.SUCCEEDED
    assert [name for name in lab.files() if name.endswith(".zip")] == []


def test_a_bad_folder_leaves_nothing_new(lab):
    place_folder(lab)
    lab.register()
    before = lab.files()
    place_folder(lab, **{"land/0.png": b"broken"})
    task = lab.register(key="other")
    assert task.status == Status.FAILED
    assert task.error == "My Birds was not registered: land/0.png can't be read: it is not an image of a known format."
    assert lab.files() == before and [entry.key for entry in lab.catalog().all("dataset") if entry.registered] == [
        "my_birds"
    ]


def test_a_bad_archive_is_deleted_too(lab):
    lab.artifacts.write("archives/a.zip", b"no zip")
    task = lab.register(upload="archives/a.zip")
    assert task.status == Status.FAILED and "is not a complete zip archive" in task.error
    assert lab.files() == []


def test_a_second_of_the_same_name_does_not_change_the_first(lab):
    place_folder(lab)
    lab.register()
    before, row = lab.files(), lab.row()
    task = lab.register()
    assert task.status == Status.FAILED and "The data set 'my_birds' exists already" in task.error
    assert lab.files() == before and lab.row().data_hash == row.data_hash


def test_a_link_to_the_outside_of_the_data_folder_is_refused(lab, tmp_path):
    place_folder(lab)
    os.rename(lab.settings.data_dir / "birds", tmp_path / "elsewhere")
    (lab.settings.data_dir / "birds").symlink_to(tmp_path / "elsewhere")
    assert "is outside of the data folder" in lab.register().error


def test_on_a_full_disk_the_archive_is_kept_for_the_next_attempt(lab, monkeypatch):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images():
            archive.writestr(name, content)
    lab.artifacts.write("archives/a.zip", file.getvalue())
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.1)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(npy_store.np.lib.format, "write_array_header_1_0", full)
        task = lab.register(upload="archives/a.zip")
    assert task.status == Status.QUEUED and lab.files() == ["artifacts/archives/a.zip"]
    register.run(task.id)
    assert "my_birds" in [entry.key for entry in lab.catalog().all("dataset")]
    assert [name for name in lab.files() if name.endswith(".zip")] == []


def test_a_class_folder_that_is_not_utf8_is_registered_and_listed(lab):
    place_folder(lab)
    birds = os.fsencode(lab.settings.data_dir / "birds")
    os.rename(os.path.join(birds, b"land"), os.path.join(birds, b"caf\xe9"))
    assert lab.register().status == Status.SUCCEEDED
    names = lab.catalog().find("dataset", "my_birds").class_names
    assert names == ("caf\ufffd", "water") and "".join(names).encode()


def test_an_error_about_a_name_that_is_not_utf8_is_stored(lab):
    place_folder(lab)
    with open(os.path.join(os.fsencode(lab.settings.data_dir / "birds/land"), b"\xe9.png"), "wb") as file:
        file.write(b"broken")
    task = lab.register()
    assert task.status == Status.FAILED and "land/\ufffd.png can't be read" in task.error
    assert sentence(ValueError("b\udce9")) == "b\\udce9"


@pytest.mark.timeout(30)
def test_a_pipe_is_named_at_once(lab):
    place_folder(lab)
    os.mkfifo(lab.settings.data_dir / "birds/land/f.png")
    assert lab.register().error == "My Birds was not registered: land/f.png is not a regular file."
    assert "is neither a folder nor a zip archive" in lab.register(path="birds/land/f.png").error


def test_class_folders_that_are_links_are_followed_inside_the_data_folder_and_else_named(lab, tmp_path):
    place_folder(lab)
    birds = lab.settings.data_dir / "birds"
    os.rename(birds / "land", lab.settings.data_dir / "land")
    (birds / "land").symlink_to(lab.settings.data_dir / "land")
    assert lab.register().status == Status.SUCCEEDED
    os.rename(lab.settings.data_dir / "land", tmp_path / "land")
    (birds / "land").unlink()
    (birds / "land").symlink_to(tmp_path / "land")
    assert f"land is a link out of the folder {lab.settings.data_dir}" in lab.register(key="other").error


def test_the_summary_counts_what_was_passed_over(lab):
    place_folder(lab, **{"README.md": b"x", "land/labels.txt": b"x"})
    assert lab.register().status == Status.SUCCEEDED
    summary = lab.catalog().find("dataset", "my_birds").summary
    assert summary == (
        "Your own images, from birds: 24 in 2 classes. "
        "Files that are no images, passed over: 2 (README.md, land/labels.txt)."
    )


def test_an_error_about_an_archive_names_no_internal_file(lab):
    lab.artifacts.write("archives/0123abcd.zip", b"no zip")
    error = lab.register(upload="archives/0123abcd.zip").error
    assert "0123abcd" not in error and "the archive is not a complete zip archive" in error


def test_a_registration_without_progress_fails_and_leaves_nothing(lab):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images():
            archive.writestr(name, content)
    lab.artifacts.write("archives/a.zip", file.getvalue())
    child = os.fork()
    if child == 0:  # reads from a disk that no longer answers
        register.STALL_SECONDS = 0.5
        image_source.Archive.read = lambda tree, name: time.sleep(60)
        lab.database.engine.dispose(close=False)
        lab.register(upload="archives/a.zip")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    with lab.database.read() as session:
        (task,) = session.scalars(select(TaskRow)).all()
    assert task.status == Status.FAILED and "made no progress for" in task.error
    assert [name for name in lab.files() if not name.startswith("data/.")] == []


def birds_table(lab):
    rows = birds()
    place_folder(lab)
    write(lab.settings.data_dir / "birds", {f"table/{name}": content for name, content in bird_files(rows).items()})
    write(lab.settings.data_dir / "birds" / "table", {"metadata.csv": csv(rows)})


def test_a_table_becomes_a_data_set_whose_groups_are_chosen_at_the_evaluation(lab):
    birds_table(lab)
    assert lab.register(path="birds/table/metadata.csv").status == Status.SUCCEEDED
    entry = lab.catalog().find("dataset", "my_birds")
    assert [(item.name, item.values) for item in entry.attributes] == [("place", ("place 0", "place 1"))]
    assert entry.group_names[3] == "1, place 1" and lab.row().group_counts["train"] == [4, 2, 2, 4]
    spec = {"dataset": {"key": "my_birds"}, "model": {"key": "mlp"}}
    crossed = {"key": "groups", "params": {"attributes": ["place"]}}
    assert plan(lab.catalog(), spec | {"evaluations": [crossed]}, None)
    for wrong in (["colour"], ["place", "place"], []):
        with pytest.raises(InvalidRequest, match="attributes"):
            plan(lab.catalog(), spec | {"evaluations": [{"key": "groups", "params": {"attributes": wrong}}]}, None)


def test_two_sizes_of_one_source_are_side_by_side(lab):
    place_folder(lab)
    for key, side in (("birds_8", 8), ("birds_12", 12)):
        assert lab.register(key=key, label=key, image_size=[side, side]).status == Status.SUCCEEDED
    sizes = {entry.key: entry.image_size for entry in lab.catalog().all("dataset") if entry.registered}
    assert sizes == {"birds_8": (8, 8), "birds_12": (12, 12)}
    assert "Cropped around their centre and scaled to 8×8 pixels." in lab.catalog().find("dataset", "birds_8").summary
