"""Jobs on a disk that is full: they wait, say for what, and end well once there is room."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import evaluations, tasks
from densitylab.worker.jobs import checkpointing, evaluate, prepare, train
from densitylab.worker.runtime import room
from tests.small_disk import SmallDisk, small_disk
from tests.worker.conftest import Lab

Fill = Callable[[SmallDisk], None]


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest) -> Fill:
    return SmallDisk.fill if request.param == "bytes" else SmallDisk.fill_with_files


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)


@pytest.fixture
def disk(lab: Lab) -> Iterator[SmallDisk]:
    """A small disk of the artifact store."""
    with small_disk(lab.settings.home / "artifacts", kib=8192) as disk:
        yield disk


def task_of(lab: Lab, task_id: int):
    with lab.database.read() as session:
        return tasks.get(session, task_id)


def run_until_room(
    lab: Lab, job: Callable[[int], None], task_id: int, disk: SmallDisk, caplog: pytest.LogCaptureFixture, name: str
) -> str:
    """Run the job; make room once it waits for the disk of this name. Return its stage at that time."""
    stages: list[str] = []

    def make_room() -> None:
        deadline = time.monotonic() + 60
        while f"the disk of the {name} is full" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.6)
        stages.append(task_of(lab, task_id).stage)
        disk.empty()

    thread = threading.Thread(target=make_room)
    thread.start()
    job(task_id)
    thread.join()
    assert f"the disk of the {name} is full" in caplog.text
    return stages[0]


def test_a_training_whose_last_checkpoint_does_not_fit_waits_for_room(
    lab: Lab, disk: SmallDisk, fill: Fill, caplog: pytest.LogCaptureFixture
):
    run_id, task_id = lab.launch()
    reference, other = lab.launch()
    train.run(other)
    fill(disk)
    stage = run_until_room(lab, train.run, task_id, disk, caplog, "artifact store")
    assert stage == "waits: the disk of the artifact store is full"
    assert lab.run(run_id).status == Status.SUCCEEDED
    assert lab.rows(run_id) == lab.rows(reference)
    log = lab.log(run_id)
    assert log.count("could not be stored") == 1  # and not one line per attempt
    assert log.count("waits until there is room") == 1


def test_an_evaluation_is_delivered_again(lab: Lab, disk: SmallDisk, fill: Fill, caplog: pytest.LogCaptureFixture):
    run_id, task_id = lab.launch()
    train.run(task_id)
    with lab.database.read() as session:
        pending = {item.name: item.task for item in evaluations.of_run(session, run_id)}
    task_id = pending["pgd_linf"]
    fill(disk)
    run_until_room(lab, evaluate.run, task_id, disk, caplog, "artifact store")
    assert task_of(lab, task_id).status == Status.QUEUED
    evaluate.run(task_id)
    assert task_of(lab, task_id).status == Status.SUCCEEDED


def test_a_task_that_waits_can_be_cancelled(lab: Lab, disk: SmallDisk):
    run_id, task_id = lab.launch()
    disk.fill()
    thread = threading.Thread(target=train.run, args=(task_id,))
    thread.start()
    deadline = time.monotonic() + 60
    while not task_of(lab, task_id).stage.startswith("waits: ") and time.monotonic() < deadline:
        time.sleep(0.05)
    with lab.database.write() as session:
        tasks.request_cancel(session, task_id)
    thread.join(30)
    assert lab.run(run_id).status == Status.CANCELLED


def test_a_preparation_waits_for_room_in_the_data_folder(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fill: Fill, caplog: pytest.LogCaptureFixture
):
    with small_disk(tmp_path / "data", kib=16 * 1024) as disk:
        monkeypatch.setenv("DENSITYLAB_DATA_DIR", str(tmp_path / "data"))
        with lab.database.write() as session:
            task_id = tasks.create(
                session, TaskKind.PREPARE, payload={"key": "blockmnist", "params": {"data_seed": 0}}
            ).id
        fill(disk)
        run_until_room(lab, prepare.run, task_id, disk, caplog, "data folder")
        assert task_of(lab, task_id).status == Status.QUEUED
        prepare.run(task_id)
        assert task_of(lab, task_id).status == Status.SUCCEEDED


@pytest.fixture
def lab_on_a_small_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_folder: Path
) -> Iterator[tuple[Lab, SmallDisk]]:
    """A lab whose database alone is on the small disk."""
    monkeypatch.setenv("DENSITYLAB_DATA_DIR", str(data_folder))
    monkeypatch.setenv("DENSITYLAB_THREADS", "1")
    monkeypatch.setenv("DENSITYLAB_ARTIFACTS_URL", str(tmp_path / "artifacts"))
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "disk" / "state"))
    with small_disk(tmp_path / "disk", kib=4096) as disk:
        lab = Lab()
        yield lab, disk
        lab.database.close()


def test_a_training_waits_while_the_database_is_full(
    lab_on_a_small_disk: tuple[Lab, SmallDisk], caplog: pytest.LogCaptureFixture
):
    lab, disk = lab_on_a_small_disk
    run_id, task_id = lab.launch(epochs=60)

    def fill_during_the_training() -> None:
        deadline = time.monotonic() + 60
        while not lab.rows(run_id) and time.monotonic() < deadline:
            time.sleep(0.02)
        disk.fill()

    filling = threading.Thread(target=fill_during_the_training)
    filling.start()
    run_until_room(lab, train.run, task_id, disk, caplog, "database")
    filling.join()
    run = lab.run(run_id)
    assert run.status == Status.SUCCEEDED and task_of(lab, task_id).attempt == 1
    assert {step for name, step, _ in lab.rows(run_id) if name == "loss"} == set(range(1, 361))


def test_a_task_that_cannot_be_claimed_stays_queued(
    lab_on_a_small_disk: tuple[Lab, SmallDisk], caplog: pytest.LogCaptureFixture
):
    lab, disk = lab_on_a_small_disk
    run_id, task_id = lab.launch()
    disk.fill()
    train.run(task_id)
    assert "is abandoned" in caplog.text and lab.run(run_id).status == Status.QUEUED
    disk.empty()
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED
