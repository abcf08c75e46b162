"""Previews of registrations: what would be stored, what is wrong, and nothing else."""

import io
import sys
import types

import numpy as np
import pytest

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import PreviewRequest, Status, TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import registered_datasets, registration_previews, tasks
from densitylab.backend.shared.tables import Base
from densitylab.worker.jobs import preview_images, register
from tests.worker.datasets.own_image_files import bird_files, birds, csv, png, write


class Lab:
    def __init__(self):
        self.settings = Settings()
        self.data = self.settings.data_dir
        self.data.mkdir(parents=True)
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def task(self, kind, job, **request):
        payload = PreviewRequest(path="birds").model_dump() | {"upload": None} | request
        with self.database.write() as session:
            task_id = tasks.create(session, kind, payload=payload).id
        job.run(task_id)
        with self.database.read() as session:
            return tasks.get(session, task_id), registration_previews.get(session, task_id)

    def preview(self, **request):
        return self.task(TaskKind.PREVIEW, preview_images, **request)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DENSITYLAB_DATA_DIR", raising=False)
    lab = Lab()
    yield lab
    lab.database.close()


def test_a_table_is_previewed_with_counts_roles_and_images(lab):
    rows = birds()
    extra = {"other.png": png(7)}
    write(lab.data / "birds", bird_files(rows) | extra | {"metadata.csv": csv(rows)})
    task, found = lab.preview()
    assert task.status == Status.SUCCEEDED, task.error
    roles = {column.name: (column.role, column.reason) for column in found.columns}
    assert roles == {
        "img_id": (None, "24 different values: name it among the attributes to use it"),
        "img_filename": ("image", ""),
        "y": ("label", ""),
        "split": ("split", ""),
        "place": ("attribute", ""),
        "place_filename": (None, "24 different values: name it among the attributes to use it"),
    }
    assert found.problems == [] and found.layout == "table" and found.group_names[2] == "1, place 0"
    assert found.grouped_by == ["place"]
    counts = {(item.label, item.group): (item.train, item.validation, item.test) for item in found.counts}
    for kind, count in counts.items():
        own = [row["split"] for row in rows if (row["y"], 2 * row["y"] + row["place"]) == kind]
        assert count == tuple(own.count(split) for split in (0, 1, 2))
    assert [(item.height, item.width, item.images) for item in found.sizes] == [(16, 16, 24)]
    assert len(found.images) == 20 and found.images[0].values == {"place": "place 1"}
    assert found.images[0].image.startswith("data:image/jpeg;base64,")
    assert found.passed_over == ["other.png"] and found.passed_over_count == 1
    assert list(lab.data.iterdir()) == [lab.data / "birds"]  # nothing is stored


def test_what_is_wrong_is_listed_beside_what_was_recognised(lab):
    rows = birds()
    rows[3]["y"] = ""
    write(lab.data / "birds", bird_files(rows) | {"metadata.csv": csv(rows)})
    task, found = lab.preview()
    assert task.status == Status.SUCCEEDED and found.counts == []
    assert found.problems == ["metadata.csv, line 5, column y: there is no label"]
    assert [column.role for column in found.columns if column.name == "place"] == ["attribute"]
    _, found = lab.preview(columns={"split": "place", "label": "place"})
    assert found.problems == ["the column 'place' is named for two things: expected one role for each"]
    assert [column.role for column in found.columns if column.name == "y"] == ["label"]


def test_images_of_several_sizes_are_counted_and_need_a_size(lab):
    rows = birds()
    write(lab.data / "birds", bird_files(rows) | {"metadata.csv": csv(rows), rows[0]["img_filename"]: png(0, (16, 30))})
    _, found = lab.preview()
    assert [(item.height, item.width, item.images) for item in found.sizes] == [(16, 16, 23), (16, 30, 1)]
    assert found.problems == ["the images have different sizes: set an image size, to which all are cropped and scaled"]
    assert lab.preview(image_size=[12, 12])[1].problems == []


def test_an_uploaded_npz_is_kept_for_further_previews_and_the_registration(lab):
    file = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(24) % 2, place=np.arange(24) % 3)
    lab.artifacts.write("archives/a.zip", file.getvalue())
    task, found = lab.preview(path=None, upload="archives/a.zip")
    assert found.layout == "arrays" and found.attributes[0].values == ["place 0", "place 1", "place 2"]
    assert lab.preview(path=None, upload="archives/a.zip", preview=task.id, group_by=[])[1].group_names == []
    registered = {"path": None, "upload": "archives/a.zip", "preview": task.id, "key": "birds", "label": "Birds"}
    done, _ = lab.task(TaskKind.REGISTER, register, **registered)
    assert done.status == Status.SUCCEEDED, done.error
    with lab.database.read() as session:
        assert registered_datasets.uploads(session, active=True) == {"archives/a.zip"}
        assert registered_datasets.uploads(session, active=False) == set()
    assert lab.artifacts.locations("archives") == ["archives/a.zip"]


def test_an_archive_that_can_not_be_read_fails_and_is_deleted(lab):
    lab.artifacts.write("archives/a.zip", b"no archive")
    task, _ = lab.preview(path=None, upload="archives/a.zip")
    assert task.status == Status.FAILED and "is not a complete zip archive" in task.error
    assert lab.artifacts.locations("archives") == []


def test_a_data_set_of_the_hub_needs_a_package_and_the_internet(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    task, _ = lab.preview(path=None, hub="owner/name")
    assert task.status == Status.FAILED and "install densitylab[huggingface]" in task.error
    module, errors = types.ModuleType("huggingface_hub"), types.ModuleType("huggingface_hub.errors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    errors.HfHubHTTPError = type("HfHubHTTPError", (OSError,), {})
    errors.LocalEntryNotFoundError = type("LocalEntryNotFoundError", (FileNotFoundError,), {})
    asked = []

    def offline(name, **options):
        asked.append(options)
        raise errors.LocalEntryNotFoundError("no connection")

    module.snapshot_download = offline
    task, _ = lab.preview(path=None, hub="owner/name")
    assert "the Hugging Face Hub can't be reached from the workers, so owner/name can't be downloaded" in task.error
    assert not any(pattern.endswith(".py") for pattern in asked[0]["allow_patterns"]) and asked[0]["token"] is False
    rows = birds()
    module.snapshot_download = lambda name, local_dir, **options: write(
        local_dir, bird_files(rows) | {"metadata.csv": csv(rows)}
    )
    _, found = lab.preview(path=None, hub="owner/name")
    assert found.layout == "table" and found.problems == [] and found.class_names == ["0", "1"]
