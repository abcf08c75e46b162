"""Files that no row refers to are deleted, those that a row or running work needs are not; `benchmarks.orphans` lists
both."""

import fcntl
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from benchmarks.orphans import orphans
from densitylab.backend import reconciler
from densitylab.backend.reconciler import System
from densitylab.backend.services import leftovers
from densitylab.backend.shared import data_leftovers
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.specs import content_hash
from densitylab.backend.shared.store import attributions, datasets, registered_datasets, tasks
from densitylab.backend.shared.tables import AttributionRow, TaskRow
from tests.backend.api.test_api_registrations import FACTS, enter
from tests.backend.shared.test_object_store import endpoint  # noqa: F401

OLD = 2 * leftovers.SETTLED_SECONDS


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def age_files(settings: Settings, seconds: float = OLD) -> None:
    for root in (Path(settings.artifacts_url), settings.data_dir):
        for path in root.rglob("*"):
            age(path, seconds)


def task(system: System, kind: TaskKind, status: Status, **payload: Any) -> int:
    with system.database.write() as session:
        row = tasks.create(session, kind, payload=payload)
        row.status, row.started_at = status, now(session) - 3 * data_leftovers.ABANDONED_SECONDS
        if status not in tasks.ACTIVE:
            row.finished_at = now(session)
        return row.id


def archive(system: System) -> str:
    location = f"archives/{uuid.uuid4().hex}.zip"
    system.store.write(location, b"zip")
    return location


def copy_of(settings: Settings, location: str) -> Path:
    settings.data_dir.mkdir(exist_ok=True)
    path = settings.data_dir / f".{Path(location).name}"
    path.write_bytes(b"zip")
    return path


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_the_archive_and_its_copy_go_when_the_registration_has_ended(
    system: System, settings: Settings, status: Status
):
    ended, queued, running = (archive(system) for _ in range(3))
    copies = [copy_of(settings, location) for location in (ended, queued, running)]
    task(system, TaskKind.REGISTER, status, key="one", upload=ended)
    task(system, TaskKind.REGISTER, Status.QUEUED, key="two", upload=queued)
    task(system, TaskKind.REGISTER, Status.RUNNING, key="three", upload=running)
    age_files(settings)
    reconciler.delete_ended_archives(system)
    reconciler.delete_leftovers(system)
    reconciler.delete_orphans(system)
    assert sorted(system.store.locations("archives")) == sorted([queued, running])
    assert [copy.exists() for copy in copies] == [False, True, True]
    for copy in copies[1:]:
        age(copy, 2 * data_leftovers.ABANDONED_SECONDS)
    reconciler.delete_leftovers(system)
    assert [copy.exists() for copy in copies] == [False, True, True]


def test_an_archive_that_never_got_its_row_goes_after_a_while(system: System, settings: Settings):
    """The API was killed between the two."""
    location = archive(system)
    reconciler.delete_orphans(system)
    assert system.store.locations("archives") == [location]
    age_files(settings)
    assert orphans(settings).files == [f"artifacts/{location}"]
    reconciler.delete_orphans(system)
    assert system.store.locations("archives") == [] and not orphans(settings)


def test_files_of_killed_runs_evaluations_and_maps_go_and_the_others_stay(
    system: System, settings: Settings, work: Any
):
    done, killed, training = work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    work.prepare()
    work.train(done)
    work.finish_evaluations(done)
    work.end(work.start(killed), Status.CANCELLED)
    work.checkpoint(work.start(training))
    with system.database.write() as session:
        drawn = attributions.create(session, {"runs": [done]}, "a" * 64)
        drawing = attributions.create(session, {"runs": [done]}, "b" * 64)
        attributions.keep(
            session, drawn, panels=[], limit=1.0, data_hash="d", location=f"attributions/{drawn}-1.npz", size=3,
            seconds=1.0,
        )  # fmt: skip
        session.execute(update(TaskRow).where(TaskRow.kind == TaskKind.ATTRIBUTE).values(status=Status.RUNNING))
        drawn_by = session.get_one(AttributionRow, drawn).task_id
        session.execute(update(TaskRow).where(TaskRow.id == drawn_by).values(status=Status.SUCCEEDED))
    kept = {
        *system.store.everything(),
        f"attributions/{drawn}-1.npz",
        f"attributions/{drawing}-1.npz",
        f"runs/{training}/checkpoints/2-700.pt",
        f"runs/{training}/checkpoints/.2-700.pt.abcdef01.partial",
        "somebody/elses.file",
        "runs/of/something/else.txt",
        "archives/my-photographs.zip",
    }
    lost = {
        f"runs/{done}/checkpoints/1-600.pt",
        f"runs/{killed}/checkpoints/1-20.pt",
        f"runs/{killed}/checkpoints/.1-30.pt.abcdef01.partial",
        f"runs/{done}/evaluations/9-1.npz",
        "runs/999/checkpoints/1-20.pt",  # of a run that was deleted
        f"attributions/{drawn}-2.npz",
        f"attributions/.{drawn}-2.npz.abcdef01.partial",
        "attributions/999-1.npz",
        f"datasets/mnist/{'a' * 16}/{'b' * 16}.npz",
        f"datasets/gone/{content_hash({})}/form/train/images.npy",
    }
    for location in (kept | lost) - set(system.store.everything()):
        system.store.write(location, b"abc")
    age_files(settings)
    reconciler.delete_orphans(system)
    assert set(system.store.everything()) == kept


def test_files_in_an_object_store_go_too(system: System, endpoint: str):  # noqa: F811
    store = ArtifactStore(f"s3://leftovers-{uuid.uuid4().hex}/lab")
    store.make_root()
    known, lost = f"archives/{uuid.uuid4().hex}.zip", f"archives/{uuid.uuid4().hex}.zip"
    form = datasets.shared_copy("mnist", {"data_seed": 0})
    locations = [known, lost, f"{form}/train/images.npy", form.replace("mnist", "gone") + "/train/images.npy"]
    for location in locations:
        store.write(location, b"abc")
    task(system, TaskKind.REGISTER, Status.QUEUED, key="birds", upload=known)
    with system.database.write() as session:
        datasets.set_ready(
            session, "mnist", {"data_seed": 0}, size=1, data_hash="d", sizes={}, class_counts={}, samples_location="x"
        )
    assert leftovers.delete_orphans(system.database, store) == 0  # all are too new
    assert leftovers.delete_orphans(system.database, store, settled_seconds=-60) == 2
    assert sorted(store.everything()) == sorted([known, locations[2]])


def test_what_a_killed_registration_left_in_the_data_folder_goes(system: System, settings: Settings):
    staging = settings.data_dir / "prepared" / "birds" / f".{'c' * 16}.{uuid.uuid4().hex}"
    live = settings.data_dir / "prepared" / "birds" / f".{'c' * 16}.{uuid.uuid4().hex}"
    complete = datasets.prepared_folder(settings.data_dir, "birds", {})
    placed = settings.data_dir / "birds" / "a" / "1.png"
    for file in (staging / "images.npy", live / "images.npy", complete / "manifest.json", placed):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(10))
    task(system, TaskKind.REGISTER, Status.CANCELLED, key="birds", upload=None)
    handle = os.open(live, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    age_files(settings)
    assert len(orphans(settings).files) == 3
    reconciler.delete_leftovers(system)
    assert (staging.exists(), live.exists(), complete.exists(), placed.exists()) == (False, True, False, True)
    os.close(handle)
    reconciler.delete_leftovers(system)
    assert not live.exists() and not orphans(settings)


def test_a_registered_data_set_and_one_that_is_being_made_stay(system: System, settings: Settings):
    enter(system, settings, "birds")
    making = datasets.prepared_folder(settings.data_dir, "cats", {})
    making.mkdir(parents=True)
    for key in ("birds", "cats"):
        task(system, TaskKind.REGISTER, Status.FAILED, key=key, upload=None)
    task(system, TaskKind.REGISTER, Status.RUNNING, key="cats", upload=None)
    age_files(settings)
    reconciler.delete_leftovers(system)
    assert making.exists() and datasets.prepared_folder(settings.data_dir, "birds", {}).exists()


def test_data_of_another_system_in_the_same_folder_stays(system: System, settings: Settings):
    """It registered and prepared data sets that this database does not know, or knows by another, older task."""
    theirs = datasets.prepared_folder(settings.data_dir, "theirs", {})
    older = datasets.prepared_folder(settings.data_dir, "mnist", {})
    copied = copy_of(settings, archive(system))
    for folder in (theirs, older):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    task(system, TaskKind.PREPARE, Status.CANCELLED, key="mnist", params={})
    age_files(settings)
    age(older, 4 * data_leftovers.ABANDONED_SECONDS)
    reconciler.delete_leftovers(system)
    assert theirs.exists() and older.exists() and copied.exists()
    age(copied, 2 * data_leftovers.ABANDONED_SECONDS)
    reconciler.delete_leftovers(system)
    assert not copied.exists()


@pytest.mark.parametrize(
    ("status", "seconds", "goes"),
    [
        (Status.CANCELLED, 1.0, True),
        (Status.FAILED, 1.0, False),  # the next preparation continues the download
        (Status.FAILED, 2 * data_leftovers.ABANDONED_SECONDS, True),
        (Status.RUNNING, 2 * data_leftovers.ABANDONED_SECONDS, False),
        (Status.QUEUED, 2 * data_leftovers.ABANDONED_SECONDS, False),
    ],
)
def test_partial_downloads_go_when_they_are_cancelled_or_abandoned(
    system: System, settings: Settings, status: Status, seconds: float, goes: bool
):
    part = settings.data_dir / "downloads" / "mnist" / "images.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(10))
    age(part, seconds)
    task_id = task(system, TaskKind.PREPARE, status, key="mnist", params={})
    with system.database.write() as session:
        datasets.set_task(session, "mnist", {}, task_id)
    reconciler.delete_leftovers(system)
    assert part.exists() != goes


def test_downloads_of_a_data_set_that_is_ready_stay(system: System, settings: Settings):
    enter(system, settings, "mnist")
    download = settings.data_dir / "downloads" / "mnist" / "images.gz"
    download.parent.mkdir(parents=True)
    download.write_bytes(bytes(10))
    task(system, TaskKind.PREPARE, Status.CANCELLED, key="mnist", params={"data_seed": 5})
    reconciler.delete_leftovers(system)
    assert download.exists()


def test_a_download_that_a_process_has_locked_stays(system: System, settings: Settings):
    part = settings.data_dir / "downloads" / "mnist" / "images.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(10))
    lock = part.with_name("images.gz.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    task(system, TaskKind.PREPARE, Status.CANCELLED, key="mnist", params={})
    reconciler.delete_leftovers(system)
    assert part.exists()
    lock.close()
    reconciler.delete_leftovers(system)
    assert not part.parent.exists()


def test_the_checker_lists_rows_without_files(system: System, settings: Settings, work: Any):
    (run,) = work.launch({"evaluations": []})
    work.train(run)
    enter(system, settings, "birds")
    (datasets.prepared_folder(settings.data_dir, "birds", {}) / "manifest.json").write_text("{}")
    assert not orphans(settings)
    system.store.delete_tree("runs")
    (datasets.prepared_folder(settings.data_dir, "birds", {}) / "manifest.json").unlink()
    with system.database.write() as session:
        drawing = tasks.create(session, TaskKind.ATTRIBUTE).id
        registered_datasets.add(session, "lost", label="Lost", summary="", facts=FACTS)
    report = orphans(settings)
    assert [row.split(" ")[0:2] for row in report.rows] == [
        ["run", str(run)],
        ["data", "set"],
        ["task", str(drawing)],
        ["data", "set"],
    ]
    assert f"run {run} has no file" in str(report)
