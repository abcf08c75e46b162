"""A backup has everything that cannot be made again, and no secret; a half one is never left behind."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from densitylab.backend.ops import backup, restore
from densitylab.backend.reconciler import System
from densitylab.backend.shared import specs
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Origin, RunSource, Status, TaskKind
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, exports, imports, run_artifacts, runs, tasks
from densitylab.backend.shared.tables import TaskRow
from tests.backend.conftest import CATALOG
from tests.backend.ops import backups
from tests.servers import S3_KEYS, free_port, fresh_connections, object_store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "everything.tar"


def test_it_has_rows_files_and_images_and_no_secret(work: Any, settings: Settings, file: Path):
    backups.fill(work, settings)
    assert backup.create(settings, file) == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert backups.SECRET.encode() not in file.read_bytes()
    members = backups.members(file)
    folder = f"images/birds/{datasets.prepared_folder(Path(), 'birds', {}).name}"
    for name, content in backups.IMAGES.items():
        assert members[f"{folder}/{name}"] == content
    assert members["files/runs/1/checkpoints/1-540.pt"] == b"weights"
    assert members["files/attributions/1-1.npz"] == backups.MAPS
    assert members["rows/uploads.jsonl"].count(b"\n") == 1


@pytest.fixture
def shared_store(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        object_store(stack, tmp_path, port)
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        stack.enter_context(fresh_connections())
        for bucket in ("old", "new"):
            ArtifactStore(f"s3://{bucket}").make_root()
        yield "s3://"


def test_images_in_a_shared_store_go_round(work: Any, settings: Settings, shared_store: str, file: Path):
    location = datasets.shared_copy("birds", {})
    old = settings.model_copy(update={"artifacts_url": f"{shared_store}old/lab"})
    work.system = System(
        work.system.database, ArtifactStore(old.artifacts_url), work.system.queue, old.data_dir, work.system.catalog
    )
    backups.register(work.system, work.system.store, location)
    assert backup.create(old, file) == []
    for url in (f"{shared_store}new/lab", ""):
        home = file.parent / f"home-{bool(url)}"
        new = Settings(home=home, redis_url=settings.redis_url, artifacts_url=url)
        restore.restore(new, file)
        place, folder = (ArtifactStore(url), location) if url else backups.local_images(new)
        for name, content in backups.IMAGES.items():
            assert place.read(f"{folder}/{name}") == content
        assert (home / "data").exists() is not bool(url)


def test_images_that_are_on_another_machine_are_asked_for(work: Any, settings: Settings, file: Path):
    backups.register(work.system, *backups.local_images(settings))
    here = settings.model_copy(update={"data_dir": settings.home / "elsewhere"})
    with pytest.raises(backup.BackupError, match="'birds' are neither in the data folder"):
        backup.create(here, file)
    manifest = datasets.prepared_folder(settings.data_dir, "birds", {}) / "manifest.json"
    for content in (manifest.read_text().replace("b" * 64, "c" * 64), "{}", "[", "\ufffd\ufffd"):
        manifest.write_text(content)  # of another data set of this name, or damaged
        with pytest.raises(backup.BackupError, match="make the backup on the machine that has them"):
            backup.create(settings, file)
    assert list(file.parent.iterdir()) == []


def test_what_the_store_lost_is_named_and_the_rest_goes_round(work: Any, settings: Settings, file: Path):
    backups.fill(work, settings)
    with work.system.database.write() as session:
        lost = tasks.create(
            session, TaskKind.REGISTER, payload={"key": "cats", "label": "Cats", "upload": "archives/x.zip"}
        ).id
    expected = [
        "archives/x.zip",
        "attributions/1-1.npz",
        "datasets/birds/x/samples.npz",
        "runs/1/checkpoints/1-540.pt",
    ]
    for location in expected[1:]:
        work.system.store.delete(location)
    assert backup.create(settings, file) == expected
    other = Settings(home=file.parent / "home", redis_url=settings.redis_url)
    restore.restore(other, file)
    database = restore.Database(other.database_url)
    with database.read() as session:
        task = tasks.get(session, lost)
        assert task is not None and (task.status, task.error) == (
            "failed",
            "The archive was gone when the backup was made: register the images again.",
        )
    database.close()


def test_an_archive_that_waits_for_its_registration_goes_round(work: Any, settings: Settings, file: Path):
    work.system.store.write("archives/x.zip", b"images")
    with work.system.database.write() as session:
        tasks.create(session, TaskKind.REGISTER, payload={"key": "cats", "label": "Cats", "upload": "archives/x.zip"})
    backup.create(settings, file)
    other = Settings(home=file.parent / "home", redis_url=settings.redis_url)
    restore.restore(other, file)
    assert ArtifactStore(other.artifacts_url).read("archives/x.zip") == b"images"


def test_an_imported_run_and_its_exported_files_go_round(work: Any, settings: Settings, file: Path):
    source = RunSource(file_name="stranger.pt", sha256="a1" * 32, format="PyTorch checkpoint")
    planned = specs.plan_run(CATALOG, {"model": {"key": "cnn"}, "interface": {"mean": [0.5], "std": [0.5]}})
    payload = {"request": {"notes": "", "tags": []}, "posted": {}, "name": "stranger.pt", "experiment": None}
    payload |= {"upload": None, "inspection": None, "file_name": "stranger.pt", "spec": {}, "provenance": {}}
    store = work.system.store
    with work.system.database.write() as session:
        task = tasks.create(session, TaskKind.IMPORT, payload=payload)
        claim = tasks.claim(session, task.id, worker="test", lease_seconds=600)
        assert claim is not None
        run_id = imports.add_run(
            session,
            claim,
            spec=planned.spec,
            lambda_=None,
            source=source,
            flags=[],
            device="cpu",
            data_hash="d" * 64,
            provenance={},
            lines=[],
            move=lambda location: store.write(location, b"weights"),
            staged="models/1.pt",
            size=7,
            parameter_names=["0.weight"],
        )
        tasks.finish(session, claim, Status.SUCCEEDED, None)
        checkpoint = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
        assert checkpoint is not None
        location = f"{exports.stem(run_id, checkpoint.location)}-1.model.safetensors"
        size = store.write(location, b"exported")
        run_artifacts.put_artifact(
            session, run_id, "model.safetensors", location=location, size=size, media_type="application/octet-stream"
        )
    backup.create(settings, file)
    other = Settings(home=file.parent / "home", redis_url=settings.redis_url)
    restore.restore(other, file)
    database = restore.Database(other.database_url)
    with database.read() as session:
        run = runs.get(session, run_id)
        assert run is not None and (run.origin, run.source, run.lambda_) == (Origin.IMPORTED, source, None)
        assert runs.parameter_names(session, run_id) == ["0.weight"]
        (exported,) = exports.present(session, run_id).values()
        assert ArtifactStore(other.artifacts_url).read(exported.location) == b"exported"
    database.close()


def test_text_that_only_sqlite_stores_can_be_restored_to_postgresql(
    work: Any, settings: Settings, file: Path, _postgres: str, empty_postgresql: str
):
    if settings.database_url == _postgres:
        pytest.skip("from SQLite to PostgreSQL")
    (run_id,) = work.launch()
    with work.system.database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.run_id == run_id).values(error="a\0b"))
    backup.create(settings, file)
    other = Settings(home=file.parent / "home", redis_url=settings.redis_url, database_url=empty_postgresql)
    restore.restore(other, file)
    database = restore.Database(other.database_url)
    with database.read() as session:
        task = tasks.get(session, 1)
        assert task is not None and task.error == "a\ufffdb"
    database.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_is_private_from_its_first_byte_and_a_stopped_one_leaves_nothing(
    work: Any, settings: Settings, file: Path, number: signal.Signals
):
    (run_id,) = work.launch()
    work.train(run_id)
    checkpoint = settings.home / "artifacts" / "runs" / "1" / "checkpoints" / "1-540.pt"
    checkpoint.unlink()
    os.mkfifo(checkpoint)  # reading it waits
    process = backups.command(settings, "backup", file)
    while not list(file.parent.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    (partial,) = file.parent.iterdir()
    assert partial.stat().st_mode & 0o777 == 0o600 and partial != file
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "Stopped: no backup was made.\n", "")
    assert list(file.parent.iterdir()) == []


def test_a_full_disk_is_a_sentence_and_leaves_the_old_backup(work: Any, settings: Settings, file: Path):
    backups.fill(work, settings)
    file.write_text("the one of yesterday")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    process = backups.command(settings, "backup", file, preexec_fn=limit)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, f"No backup was made at {file}: File too large\n")
    assert file.read_text() == "the one of yesterday" and list(file.parent.iterdir()) == [file]


def test_a_place_that_takes_no_file_is_a_sentence(
    work: Any, settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DENSITYLAB_HOME", str(settings.home))
    monkeypatch.setenv("DENSITYLAB_DATABASE_URL", settings.database_url)
    for place, sentence in (
        ("/dev/null", "/dev/null is not a file"),
        (file.parent, "is not a file"),
        (file.parent / "no" / "folder.tar", "there is no folder"),
        (file.parent / ("x" * 300), "File name too long"),
    ):
        answer = backup.main([str(place)])
        assert isinstance(answer, str) and sentence in answer and len(answer.splitlines()) == 1, answer
    assert Path("/dev/null").is_char_device() and list(file.parent.iterdir()) == []


def test_a_database_that_is_not_up_to_date_is_a_sentence(tmp_path: Path):
    empty = Settings(home=tmp_path)
    with pytest.raises(backup.BackupError, match="run `densitylab migrate` first"):
        backup.create(empty, tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()
