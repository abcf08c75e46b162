"""Requests while a disk is full: 507 that names the disk, and no trace of what was refused."""

import io
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.shared.settings import Settings
from tests.backend.conftest import Broker
from tests.servers import free_port, postgresql
from tests.small_disk import SmallDisk, small_disk

PLACES = ("database", "artifact store", "data folder", "temporary folder")
LAUNCH = {"name": "e", "spec": {"epochs": 1}}
Fill = Callable[[SmallDisk], None]


class System:
    """An API whose disks are small: one for each place."""

    def __init__(self, disks: dict[str, SmallDisk], client: TestClient) -> None:
        self.disks = disks
        self.client = client

    def problems(self) -> list[str]:
        answer = self.client.get("/readyz")
        assert answer.status_code == 200
        return [text for text in answer.json()["degraded"] if "disk" in text]


@pytest.fixture
def system(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    with ExitStack() as stack:
        disks = {
            place: stack.enter_context(small_disk(tmp_path / place.replace(" ", "-"), kib=4096)) for place in PLACES
        }
        settings = Settings(
            home=tmp_path / "home",
            redis_url=broker.url,
            database_url=f"sqlite:///{disks['database'].folder / 'lab.sqlite'}",
            artifacts_url=str(disks["artifact store"].folder),
            data_dir=disks["data folder"].folder,
        )
        migrate.upgrade(settings)
        monkeypatch.setattr(tempfile, "tempdir", str(disks["temporary folder"].folder))
        yield System(disks, stack.enter_context(TestClient(create_app(settings))))


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest) -> Fill:
    return SmallDisk.fill if request.param == "bytes" else SmallDisk.fill_with_files


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 40), 128).save(file, "PNG")
    return file.getvalue()


def archive(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("a/1.png", bytes(size))
    return file.getvalue()


def register(client: TestClient, size: int):
    request = '{"label": "Birds"}'
    return client.post(
        "/api/v1/registrations/archive", files={"archive": ("a.zip", archive(size))}, data={"request": request}
    )


def assert_refused(answer, place: str, folder: Path) -> None:
    assert answer.status_code == 507, answer.text
    problem = answer.json()
    assert problem["title"] == "Insufficient Storage" and f"the disk of the {place} is full" in problem["detail"]
    assert str(folder) not in answer.text


def test_launches_and_uploads_while_the_database_is_full(system: System):
    disk = system.disks["database"]
    assert system.client.get("/api/v1/runs").json()["items"] == []
    disk.fill()
    assert_refused(system.client.post("/api/v1/experiments", json=LAUNCH), "database", disk.folder)
    upload = system.client.post("/api/v1/uploads?dataset=blockmnist", content=picture())
    assert_refused(upload, "database", disk.folder)
    assert system.client.get("/api/v1/runs").json()["items"] == []  # reading goes on
    assert any("database is full" in text for text in system.problems())
    disk.empty()
    assert system.client.post("/api/v1/experiments", json=LAUNCH).status_code == 202


def test_an_archive_while_the_store_is_full(system: System, fill: Fill):
    disk = system.disks["artifact store"]
    fill(disk)
    assert_refused(register(system.client, 200_000), "artifact store", disk.folder)
    assert not list((disk.folder / "archives").glob("*")) if (disk.folder / "archives").exists() else True
    disk.empty()
    assert register(system.client, 200_000).status_code == 202


def test_an_archive_while_the_temporary_folder_is_full(system: System, fill: Fill):
    disk = system.disks["temporary folder"]
    fill(disk)
    assert_refused(register(system.client, 3 * 2**20), "temporary folder", disk.folder)
    disk.empty()
    assert register(system.client, 3 * 2**20).status_code == 202


@pytest.mark.parametrize("place", PLACES)
def test_each_full_disk_is_named_by_readyz_and_by_the_system_page(system: System, place: str, fill: Fill):
    assert not any("is full" in text for text in system.problems())
    fill(system.disks[place])
    full = [text for text in system.problems() if "is full" in text]
    assert len(full) == 1 and full[0].startswith(f"The disk of the {place} is full")
    assert full[0] in system.client.get("/api/v1/system").json()["disk"]["problems"]
    system.disks[place].empty()
    assert not any("is full" in text for text in system.problems())


def test_one_disk_of_several_places_is_named_once(system: System, tmp_path: Path, broker: Broker):
    disk = system.disks["data folder"]
    settings = Settings(home=disk.folder / "home", redis_url=broker.url)
    migrate.upgrade(settings)
    with TestClient(create_app(settings)) as client:
        disk.fill()
        full = [text for text in client.get("/readyz").json()["degraded"] if "is full" in text]
    assert len(full) == 1
    assert full[0].startswith("The disk of the state folder, database, artifact store and data folder is full")


def test_a_database_that_cannot_even_be_opened_is_named(system: System):
    disk = system.disks["database"]
    disk.fill()  # before the first connection, which needs room for its index
    answer = system.client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["database"] == "its disk is full"
    assert_refused(system.client.get("/api/v1/runs"), "database", disk.folder)
    disk.empty()
    assert system.client.get("/readyz").status_code == 200


def test_launches_while_the_disk_of_postgresql_is_full(tmp_path: Path, broker: Broker):
    with ExitStack() as stack:
        port = free_port()
        space = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dl-space-")))
        disk = stack.enter_context(small_disk(space, kib=24 * 1024))
        (tmp_path / "log").mkdir()
        postgresql(stack, tmp_path / "log", port)
        for folder in (disk.folder, disk.folder / "tables"):
            folder.mkdir(exist_ok=True)
            subprocess.run(["chown", "postgres", str(folder)], check=True)
        url = f"postgresql://densitylab@127.0.0.1:{port}/densitylab"
        settings = Settings(home=tmp_path / "home", redis_url=broker.url, database_url=url)
        move = (
            f"CREATE TABLESPACE small LOCATION '{disk.folder / 'tables'}'; "
            "ALTER DATABASE densitylab SET default_tablespace = small"
        )
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in move.split("; "):
                connection.execute(statement)
        migrate.upgrade(settings)
        with TestClient(create_app(settings)) as client:
            disk.fill()
            answers = [client.post("/api/v1/experiments", json=LAUNCH | {"notes": "x" * 9000}) for _ in range(40)]
            refused = [answer for answer in answers if answer.status_code != 202]
            assert refused
            assert_refused(refused[0], "database", disk.folder)
            assert any("database is full" in text for text in client.get("/readyz").json()["degraded"])
            disk.empty()
            assert client.post("/api/v1/experiments", json=LAUNCH).status_code == 202
