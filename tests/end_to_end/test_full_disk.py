"""A whole system whose disk fills while it works: everything stays up, says why, and goes on when there is room."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.frontend.client import ApiError
from tests.end_to_end.systems import RunningSystem, started
from tests.servers import until
from tests.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPEC = {"epochs": 30, "train_samples": 1000, "evaluations": [{"key": "leakage"}]}
LAUNCH = {"name": "full disk", "spec": SPEC}
Fill = Callable[[SmallDisk], None]


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest) -> Fill:
    return SmallDisk.fill if request.param == "bytes" else SmallDisk.fill_with_files


def check(system: RunningSystem, disk: SmallDisk, fill: Fill, log: Path) -> None:
    run = system.client.launch(LAUNCH).runs[0]
    until(lambda: system.client.run(run).progress > 0.05, log)
    until_longer_than_a_lease = time.monotonic() + 25
    while time.monotonic() < until_longer_than_a_lease:
        fill(disk)  # again and again: an older checkpoint that is deleted leaves room for the next
        time.sleep(0.2)
    assert httpx.get(f"{system.api}/healthz").status_code == 200
    assert httpx.get(f"{system.page}/_stcore/health").status_code == 200
    assert any("is full" in text for text in httpx.get(f"{system.api}/readyz").json()["degraded"])
    disk.empty()
    until(lambda: not any("is full" in text for text in system.client.readiness().degraded), log, 60)
    until(lambda: finished(system, run), log, 450)
    assert system.client.run(run).status == Status.SUCCEEDED, system.client.run(run).error
    assert {item.status for item in system.client.evaluations(run)} == {Status.SUCCEEDED}
    text = log.read_text()
    assert "Traceback" not in text
    assert "starts again" not in text  # no process has died


def finished(system: RunningSystem, run_id: int) -> bool:
    run, evaluations = system.client.run(run_id), system.client.evaluations(run_id)
    return run.status.final and all(item.status.final for item in evaluations)


def test_the_state_folder(tmp_path: Path, fill: Fill):
    with (
        small_disk(tmp_path / "home", kib=64 * 1024) as disk,
        started(tmp_path / "home", tmp_path / "log.txt", {"TMPDIR": str(tmp_path)}) as system,
    ):
        check(system, disk, fill, tmp_path / "log.txt")
        disk.fill()
        with pytest.raises(ApiError) as refusal:
            for _ in range(500):  # until the room in the log of the database is used up
                system.client.launch({"name": "x", "notes": "x" * 5000, "spec": {"epochs": 1}})
        assert refusal.value.status == 507 and "disk of the database is full" in str(refusal.value)


@pytest.mark.parametrize("place", ["ARTIFACTS_URL", "DATA_DIR"])
def test_one_place_alone(tmp_path: Path, fill: Fill, place: str):
    home = tmp_path / "home"
    home.mkdir()
    with (
        small_disk(tmp_path / "small", kib=48 * 1024) as disk,
        started(home, tmp_path / "log.txt", {f"DENSITYLAB_{place}": str(tmp_path / "small")}) as system,
    ):
        check(system, disk, fill, tmp_path / "log.txt")


def test_the_temporary_folder_alone(tmp_path: Path, fill: Fill):
    home = tmp_path / "home"
    home.mkdir()
    with (
        small_disk(tmp_path / "small", kib=1024) as disk,
        started(home, tmp_path / "log.txt", {"TMPDIR": str(tmp_path / "small")}) as system,
    ):
        check(system, disk, fill, tmp_path / "log.txt")


def test_standard_output_on_a_full_disk(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    with (
        small_disk(tmp_path / "small", kib=64) as disk,
        started(home, tmp_path / "small" / "log.txt", {}) as system,
    ):
        disk.fill()
        run = system.client.launch(LAUNCH).runs[0]
        until(lambda: finished(system, run), seconds=450)
        assert system.client.run(run).status == Status.SUCCEEDED
