"""Nothing stays of registrations that were cancelled or killed, whichever process was killed and when."""

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.orphans import orphans
from densitylab.backend.services import leftovers
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.data_leftovers import SETTLED_SECONDS
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from tests.end_to_end.systems import RunningSystem, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def system(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with started(home, tmp_path_factory.mktemp("log") / "log.txt", {}) as system:
        yield system


@pytest.fixture(scope="module")
def archive() -> bytes:
    """Return a zip of so many images that their registration takes seconds."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as images:
        for number in range(2000):
            image = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(image, "PNG")
            images.writestr(f"{'land' if number % 2 else 'water'}/{number}.png", image.getvalue())
    return file.getvalue()


def process(home: Path, *words: str) -> psutil.Process:
    """Return the system's process with these words in its command line, without forks of it."""
    found = [
        item
        for item in psutil.process_iter(["cmdline", "environ", "ppid"])
        if all(word in (item.info["cmdline"] or []) for word in words)
        and (item.info["environ"] or {}).get("DENSITYLAB_HOME") == str(home)
    ]
    numbers = {item.pid for item in found}
    (top,) = [item for item in found if item.info["ppid"] not in numbers]
    return top


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def upload(system: RunningSystem, archive: bytes, label: str) -> int:
    answer = httpx.post(
        f"{system.api}/api/v1/registrations/archive",
        files={"archive": ("b.zip", archive)},
        data={"request": json.dumps({"label": label})},
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def status(system: RunningSystem, task_id: int) -> str:
    return httpx.get(f"{system.api}/api/v1/tasks/{task_id}", timeout=30).json()["status"]


def cancel(system: RunningSystem, task_id: int) -> None:
    httpx.post(f"{system.api}/api/v1/tasks/{task_id}/cancel", timeout=30).raise_for_status()


def begin(system: RunningSystem, home: Path, archive: bytes, label: str) -> tuple[int, psutil.Process]:
    """Start a registration and pause its process; return both."""
    task_id = upload(system, archive, label)
    staging = home / "data" / "prepared"
    # A worker that was killed is back only when it has imported torch
    wait_until(lambda: list(staging.glob("*/.*/train/images.npy")) and status(system, task_id) == "running", 180)
    (job,) = process(home, "densitylab.worker.main", "prepare").children()
    job.suspend()
    return task_id, job


def assert_nothing_is_left(home: Path) -> None:
    settings = Settings(home=home)

    def clean() -> bool:
        for folder in (home / "data" / "prepared").glob("*/.*"):  # they would be deleted when they are that old
            os.utime(folder, (time.time() - SETTLED_SECONDS - 1,) * 2)
        return not [file for file in orphans(settings).files if "blockmnist" not in file]

    wait_until(clean, 120)
    assert not orphans(settings), str(orphans(settings))
    assert list((home / "artifacts" / "archives").glob("*")) == []


def test_a_queued_registration_is_cancelled(system: RunningSystem, home: Path, archive: bytes):
    first, job = begin(system, home, archive, "First")
    second = upload(system, archive, "Second")
    assert status(system, second) == "queued"
    cancel(system, second)
    assert status(system, second) == "cancelled"
    wait_until(lambda: len(list((home / "artifacts" / "archives").glob("*.zip"))) == 1, 30)
    cancel(system, first)
    job.resume()
    wait_until(lambda: status(system, first) == "cancelled")
    assert_nothing_is_left(home)


def test_a_registration_that_does_not_stop_is_killed(system: RunningSystem, home: Path, archive: bytes):
    task_id, job = begin(system, home, archive, "Hard")
    assert len(list((home / "data").glob(".*.zip"))) == 1
    cancel(system, task_id)
    wait_until(lambda: status(system, task_id) == "cancelled")
    wait_until(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE)
    assert_nothing_is_left(home)


def test_the_worker_of_a_cancelled_registration_is_killed(system: RunningSystem, home: Path, archive: bytes):
    task_id, _ = begin(system, home, archive, "Worker")
    process(home, "densitylab.worker.main", "prepare").kill()
    cancel(system, task_id)
    wait_until(lambda: status(system, task_id) == "cancelled")
    assert_nothing_is_left(home)


def test_the_worker_of_a_registration_is_killed_and_another_finishes_it(
    system: RunningSystem, home: Path, archive: bytes
):
    task_id, _ = begin(system, home, archive, "Twice")
    process(home, "densitylab.worker.main", "prepare").kill()
    wait_until(lambda: status(system, task_id) == "succeeded", 240)
    assert httpx.get(f"{system.api}/api/v1/datasets/twice").json()["status"] == "ready"
    assert_nothing_is_left(home)
    assert httpx.delete(f"{system.api}/api/v1/datasets/twice", timeout=60).status_code == 200
    assert_nothing_is_left(home)


def test_the_api_is_killed_while_it_stores_an_archive(system: RunningSystem, home: Path):
    archives = home / "artifacts" / "archives"
    server = process(home, "densitylab.backend.api.server")
    with pytest.raises(httpx.TransportError), httpx.Client(timeout=60) as client:
        request = client.build_request(
            "POST",
            f"{system.api}/api/v1/registrations/archive",
            files={"archive": ("b.zip", bytes(400 * 2**20))},
            data={"request": json.dumps({"label": "Api"})},
        )
        pid = os.fork()
        if pid == 0:  # kills the API as soon as the archive is being stored
            while not list(archives.glob("*.zip")):
                time.sleep(0.001)
            os.kill(server.pid, signal.SIGKILL)
            os._exit(0)
        client.send(request)
    os.waitpid(pid, 0)
    (left,) = archives.glob("*.zip")
    os.utime(left, (time.time() - leftovers.SETTLED_SECONDS - 1,) * 2)
    settings = Settings(home=home)
    assert orphans(settings).files == [f"artifacts/archives/{left.name}"]
    database = Database(settings.database_url)
    assert leftovers.delete_orphans(database, ArtifactStore(settings.artifacts_url)) == 1
    database.close()
    assert_nothing_is_left(home)
