"""A backup is restored whole, on the other kind of database too, or refused in a sentence with nothing written."""

import collections
import json
import os
import resource
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from benchmarks import mutated_backups
from densitylab.backend.api.app import create_app
from densitylab.backend.broker.queue import Queue
from densitylab.backend.ops import backup, migrate, restore
from densitylab.backend.ops.backup_archive import BadBackup
from densitylab.backend.reconciler import System
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import uploads
from densitylab.backend.shared.tables import Base
from tests.backend.conftest import CATALOG, Broker, Work
from tests.backend.ops import backups


@pytest.fixture
def file(work: Any, settings: Settings, tmp_path: Path) -> Path:
    """Return a backup with something of everything, of either kind of database."""
    backups.fill(work, settings)
    backup.create(settings, tmp_path / "everything.tar")
    return tmp_path / "everything.tar"


@pytest.fixture(scope="module")
def made(_sqlite: Path, _broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    home = tmp_path_factory.mktemp("made")
    shutil.copy(_sqlite, home / "densitylab.sqlite")
    settings = Settings(home=home, redis_url=_broker.url)
    with closing(Database(settings.database_url)) as database:
        queue = Queue(settings.redis_url, database)
        system = System(database, ArtifactStore(settings.artifacts_url), queue, settings.data_dir, CATALOG)
        backups.fill(Work(system), settings)
        queue.close()
    backup.create(settings, home / "everything.tar")
    return (home / "everything.tar").read_bytes()


@pytest.fixture
def copied(made: bytes, tmp_path: Path) -> Path:
    """Return a copy of a backup of SQLite that the test may change."""
    (tmp_path / "copied.tar").write_bytes(made)
    return tmp_path / "copied.tar"


@pytest.fixture
def other(_broker: Broker, tmp_path: Path) -> Settings:
    """Return the settings of a system that does not exist yet."""
    return Settings(home=tmp_path / "new" / "home", redis_url=_broker.url)


def answers(settings: Settings) -> dict[str, Any]:
    """Return what a user sees; texts of stages differ, since what was at work is queued again."""
    with TestClient(create_app(settings)) as client:

        def get(path: str) -> Any:
            answer = client.get(f"/api/v1{path}")
            assert answer.status_code == 200, answer.text
            return answer

        runs = get("/runs").json()["items"]
        return {
            "runs": [
                {name: run[name] for name in ("id", "name", "spec", "results", "notes", "created_at", "provenance")}
                for run in runs
            ],
            "found": [run["id"] for run in get("/runs?q=BLOCKmnist").json()["items"]],
            "statuses": [run["status"] for run in runs],
            "checkpoint": get("/runs/1/artifacts/checkpoint.pt").content,
            "maps": [get("/attributions/1").json(), get("/attributions/1/arrays").content],
            "data set": get("/datasets/birds").json(),
            "webhooks": get("/webhooks").json(),
            "studies": [get("/studies/1").json()["datasets"], get("/studies/1/report").json()["tables"]],
            "next": client.post("/api/v1/experiments", json={}).json()["runs"],
        }


def same(file: Path, old: Settings, new: Settings) -> None:
    changed = restore.restore(new, file)
    before, after = answers(old), answers(new)
    assert before.pop("statuses") == ["succeeded", "queued", "running", "succeeded"]
    assert after.pop("statuses") == ["succeeded", "queued", "queued", "succeeded"]
    assert before == after and after["found"]
    assert (after["checkpoint"], after["next"]) == (b"weights", [5])
    place, folder = backups.local_images(new)
    for name, content in backups.IMAGES.items():
        assert place.read(f"{folder}/{name}") == content
    ((secret, url),) = ((row.secret, row.url) for row in changed)
    assert url == "https://example.com/hook" and secret.startswith("whsec_") and secret != backups.SECRET
    with pytest.raises(restore.RestoreError, match="not empty"):
        restore.restore(new, file)


def test_to_sqlite(file: Path, settings: Settings, other: Settings):
    same(file, settings, other)


def test_to_postgresql(file: Path, settings: Settings, other: Settings, _postgres: str, request: pytest.FixtureRequest):
    if settings.database_url == _postgres:
        pytest.skip("from SQLite to PostgreSQL")
    url = request.getfixturevalue("empty_postgresql")
    same(file, settings, Settings(home=other.home, redis_url=settings.redis_url, database_url=url))


def refused(file: Path, settings: Settings, because: str) -> None:
    """Assert that it is refused with this sentence and that nothing was written."""
    before = backups.tree(file.parent)
    with pytest.raises((BadBackup, restore.RestoreError)) as raised:
        restore.restore(settings, file)
    assert because in str(raised.value) and "\n" not in str(raised.value), str(raised.value)
    assert backups.tree(file.parent) == before


def without(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: data for other, data in content.items() if other != name}


def listed(content: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    return {**content, "backup.json": json.dumps({**json.loads(content["backup.json"]), **changes}).encode()}


CHECKPOINT = "files/runs/1/checkpoints/1-540.pt"
ARCHIVES: list[tuple[str, Callable[[dict[str, bytes]], dict[str, bytes]], str]] = [
    ("no list", lambda content: without(content, "backup.json"), "the list at its end is missing"),
    ("older version", lambda content: {"about.json": b"{}", **content}, "of an older version"),
    ("a list of something else", lambda content: {**content, "backup.json": b"[]"}, "the list at its end is damaged"),
    ("a list that is no JSON", lambda content: {**content, "backup.json": b"{"}, "the list at its end is damaged"),
    ("a newer version", lambda content: listed(content, version=3), "or of a newer version"),
    ("without revision", lambda content: listed(content, revision=None), "the list at its end is damaged"),
    ("another revision", lambda content: listed(content, revision="9999"), "is of revision '9999'"),
    ("a changed file", lambda content: {**content, CHECKPOINT: b"weightS"}, f"{CHECKPOINT} in it is damaged"),
    ("a shorter file", lambda content: {**content, CHECKPOINT: b"weight"}, f"{CHECKPOINT} in it is damaged"),
    ("a removed file", lambda content: without(content, CHECKPOINT), f"it lacks {CHECKPOINT}"),
    ("an added file", lambda content: {**content, "files/x": b""}, "it has files/x, which was not written with it"),
    (
        "a removed file, sealed",
        lambda content: backups.sealed(without(content, CHECKPOINT)),
        f"it lacks {CHECKPOINT}, to which its rows refer",
    ),
    (
        "an added file, sealed",
        lambda content: backups.sealed({**content, "files/x": b""}),
        "it has files/x, to which no row of it refers",
    ),
    (
        "images of another data set, sealed",
        lambda content: backups.sealed(
            {name: data.replace(b"b" * 64, b"c" * 64) if "manifest" in name else data for name, data in content.items()}
        ),
        "the images of its data set birds are not those",
    ),
    (
        "no images, sealed",
        lambda content: backups.sealed(
            {name: data for name, data in content.items() if not name.startswith("images/")}
        ),
        "it has no images/birds/",
    ),
    (
        "a part of the images, sealed",
        lambda content: backups.sealed(
            {name: data for name, data in content.items() if not name.endswith("train/labels.npy")}
        ),
        "train/labels.npy, to which its rows refer",
    ),
    (
        "a table removed, sealed",
        lambda content: backups.sealed(without(content, "rows/tasks.jsonl")),
        "it has no rows/tasks.jsonl",
    ),
    (
        "rows that are not UTF-8, sealed",
        lambda content: backups.sealed({**content, "rows/tokens.jsonl": b'{"name": "\xff"}\n'}),
        "row 1 of its table tokens is not valid",
    ),
    (
        "rows that are no JSON, sealed",
        lambda content: backups.sealed({**content, "rows/tokens.jsonl": b"{}{\n"}),
        "row 1 of its table tokens is not valid",
    ),
    (
        "deep JSON, sealed",
        lambda content: backups.sealed({**content, "rows/tokens.jsonl": b"[" * 10**6}),
        "row 1 of its table tokens is not valid",
    ),
    (
        "rows twice, sealed",
        lambda content: backups.sealed({**content, "rows/runs.jsonl": content["rows/runs.jsonl"] * 2}),
        "do not fit together",
    ),
]
ARCHIVES += [
    (
        f"a name that leads out: {name!a}",
        lambda content, name=name: backups.sealed({**content, name: b"x"}),  # type: ignore[misc]
        "which no backup has",
    )
    for name in (
        "files/../x", "files//etc/x", "/etc/x", "files/a/../../x", "../x", "files/.ssh/x", "files/a\\x",
        "files/\x1b[2J", "files/ü", "backup", "files", "rows/../files/x", "images/birds/..",
    )
]  # fmt: skip


@pytest.mark.parametrize(("change", "because"), [case[1:] for case in ARCHIVES], ids=[case[0] for case in ARCHIVES])
def test_an_archive_that_is_not_a_backup_is_refused(
    copied: Path, other: Settings, change: Callable[[dict[str, bytes]], dict[str, bytes]], because: str
):
    backups.write(copied, change(backups.members(copied)))
    refused(copied, other, because)


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"V",
    ],
)
def test_an_entry_that_is_not_a_plain_file_is_refused(copied: Path, other: Settings, kind: bytes):
    entry = tarfile.TarInfo("files/link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(copied, "a") as archive:
        archive.addfile(entry)
    refused(copied, other, "files/link' in it is not a plain file")


def test_two_files_of_one_name_are_refused(copied: Path, other: Settings):
    with tarfile.open(copied, "a") as archive:
        archive.addfile(tarfile.TarInfo(CHECKPOINT))
    refused(copied, other, f"it has two files named '{CHECKPOINT}'")


@pytest.mark.parametrize("size", [-512, -(2**70), 2**40, 2**80])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_lies_about_its_size_is_refused(copied: Path, other: Settings, size: int, kind: bytes):
    entry = tarfile.TarInfo("files/x")
    entry.type = kind
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % 256**12).to_bytes(12, "big") if size < 0 else b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    copied.write_bytes(bytes(header) + copied.read_bytes())
    refused(copied, other, "")


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240, b"\x1f\x8b\x08" + b"\0" * 600])
def test_a_file_that_is_no_tar_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "x.tar").write_bytes(content)
    refused(tmp_path / "x.tar", Settings(home=tmp_path / "home"), "")


def test_many_headers_before_one_file_are_refused(copied: Path, other: Settings):
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    copied.write_bytes(header.tobuf() * 5000 + copied.read_bytes())
    refused(copied, other, "it is not a DensityLab backup, or damaged")


def values(**changed: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(changed)


ROWS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("tasks", values(status="rubbish"), "status: Input should be 'queued', 'running'"),
    ("tasks", values(kind="rubbish"), "kind"),
    ("tasks", values(kind="prepare"), "belongs to a run"),
    ("tasks", values(priority=7), "its priority does not exist"),
    ("tasks", values(payload=[]), "payload"),
    ("tasks", values(run_id=None), "belongs to a run"),
    ("tasks", values(created_at=1e300), "created_at"),
    ("tasks", values(created_at=None), "created_at"),
    ("tasks", values(started_at=-1), "started_at"),
    ("tasks", values(lease_until="soon"), "lease_until"),
    ("tasks", values(attempt=2**40), "attempt"),
    ("tasks", values(error="a\0b"), "error"),
    ("tasks", values(more=1), "more"),
    ("tasks", lambda row: row.pop("stage"), "stage"),
    ("events", values(status="rubbish"), "'run.rubbish' is not a valid EventType"),
    ("events", values(kind="prepare"), "'None.queued' is not a valid EventType"),
    ("runs", values(spec={}), "it is not the spec of a run"),
    ("runs", values(spec=[]), "spec"),
    ("runs", lambda row: row["spec"].update(epochs="many"), "epochs"),
    ("runs", lambda row: row["spec"].update(dataset="birds"), "spec"),
    ("runs", lambda row: row["spec"].update(evaluations=[1]), "spec"),
    ("runs", lambda row: row["spec"]["model"].update(key="../x"), "key"),
    ("runs", values(spec_version=99), "spec_version"),
    ("runs", values(model="another"), "its data set, model or regularizer is not that of its spec"),
    ("runs", values(results={"a": 1}), "results"),
    ("runs", values(flags=["a"]), "flags"),
    ("runs", values(tags=[1]), "tags"),
    ("runs", values(id=0), "id"),
    ("runs", values(id=2**31 - 1), "id"),
    ("runs", values(experiment_id=77), "do not fit together"),
    ("runs", values(id=77), "do not fit together"),
    ("runs", values(archived=1), "archived"),
    ("experiments", values(request="x"), "request"),
    ("experiments", values(additions=[1]), "additions"),
    ("evaluations", values(key='a"b'), "key"),
    ("evaluations", values(values={"a": {}}), "values"),
    ("evaluations", values(curves={"a": {}}), "curves"),
    ("evaluations", values(task_id=1), "its evaluation 1 has the task of something else"),
    ("artifacts", values(location="runs/2/x.pt"), "its location is not below those of its run"),
    ("artifacts", values(location="runs/1/../../x"), "to which its rows refer"),
    ("artifacts", values(location="/etc/passwd"), "its location is not below those of its run"),
    ("artifacts", values(media_type="a\r\nb"), "its size or type"),
    ("artifacts", values(bytes=-1), "its size or type"),
    ("attributions", values(location="runs/1/checkpoints/1-540.pt"), "its location is not one of maps"),
    ("attributions", values(request={}), "its maps 1 cannot be read"),
    ("attributions", values(panels=[{}]), "its maps 1 cannot be read"),
    ("attributions", values(task_id=1), "its maps 1 cannot be read"),
    ("datasets", values(samples_location="x/y"), "its location is not one of data sets"),
    ("datasets", values(params={"a": 1}), "its hash is not that of its parameters"),
    ("datasets", values(sizes={"train": "x"}), "sizes"),
    ("datasets", values(data_hash=None), "it is ready, but has no hash of its data"),
    ("datasets", values(ready=False), "its registered data set birds has no images"),
    ("datasets", values(key="cats"), "its registered data set birds has no images"),
    ("registered_datasets", values(facts={}), "facts"),
    ("registered_datasets", values(key="../birds"), "key"),
    ("uploads", values(pixels="AAAA"), "its hash is not that of its pixels"),
    ("uploads", values(pixels="!"), "pixels"),
    ("studies", values(key="../x"), "key"),
    ("studies", values(definition={}), "definition"),
    ("studies", values(launches=[{"key": 1}]), "launches"),
    ("studies", values(datasets={"a": 1}), "datasets"),
    ("webhooks", values(seen_event=None), "seen_event"),
    ("webhooks", values(events=["run.rubbish"]), "events"),
    ("webhooks", values(format="rubbish"), "format"),
]


@pytest.mark.parametrize(("table", "change", "because"), ROWS, ids=[f"{table}: {why}" for table, _, why in ROWS])
def test_a_row_that_the_code_could_not_have_written_is_refused(
    copied: Path, other: Settings, table: str, change: Callable[[dict[str, Any]], Any], because: str
):
    backups.write(copied, backups.with_rows(backups.members(copied), table, change))
    refused(copied, other, because)


def test_a_token_whose_hash_is_none_is_refused(copied: Path, other: Settings):
    content = backups.members(copied)
    row = {"id": 1, "name": "a", "digest": "é", "read_only": True, "created_at": 1, "revoked_at": None}
    row |= {column.name: None for column in Base.metadata.tables["tokens"].columns if column.name not in row}
    backups.write(copied, backups.sealed({**content, "rows/tokens.jsonl": json.dumps(row).encode()}))
    refused(copied, other, "digest")


def test_a_system_that_is_not_empty_is_left_as_it_is(file: Path, settings: Settings, other: Settings, tmp_path: Path):
    refused(file, settings, "the database is not empty")
    ArtifactStore(other.artifacts_url).write("runs/1/x", b"of someone else")
    refused(file, other, "the folder or bucket for files is not empty")
    third = Settings(home=tmp_path / "third", redis_url=settings.redis_url, data_dir=settings.data_dir)
    refused(file, third, "has images of a data set 'birds' already")


def test_a_database_of_an_older_revision_is_not_migrated(copied: Path, other: Settings):
    migrate.upgrade(other)
    with closing(Database(other.database_url)) as database, database.write() as session:
        uploads.create(session, "blockmnist", content_hash="a" * 64, pixels=b"", height=1, width=1)
        session.execute(text("ALTER TABLE uploads DROP COLUMN width"))
        session.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    refused(copied, other, "the database is not empty")


def test_an_empty_system_that_refuses_a_backup_takes_the_next(
    file: Path, settings: Settings, other: Settings, tmp_path: Path
):
    migrate.upgrade(other)
    bad = tmp_path / "bad.tar"
    backups.write(bad, backups.with_rows(backups.members(file), "evaluations", values(task_id=1)))
    with pytest.raises(BadBackup):
        restore.restore(other, bad)
    same(file, settings, other)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(copied: Path, other: Settings):
    content = backups.members(copied)
    content["files/attributions/1-1.npz"] = os.urandom(2**21)
    backups.write(copied, backups.sealed(content))
    before = backups.tree(copied.parent)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    process = backups.command(other, "restore", copied, preexec_fn=limit)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (
        1,
        f"Nothing was restored from {copied}: the disk of the artifact store is full\n",
    )
    assert backups.tree(copied.parent) == before


@pytest.mark.slow  # writes 200 MB
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_restore_leaves_nothing(copied: Path, other: Settings, number: signal.Signals):
    content = backups.members(copied)
    content["files/attributions/1-1.npz"] = os.urandom(2 * 10**8)
    backups.write(copied, backups.sealed(content))
    process = backups.command(other, "restore", copied)
    while not (other.home / "artifacts" / "attributions").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "Stopped: nothing was restored.\n", "")
    assert not other.home.parent.exists()


def test_the_command_says_what_is_wrong_in_one_line(copied: Path, other: Settings, monkeypatch: pytest.MonkeyPatch):
    (copied.parent / "no.tar").write_text("no tar")
    for path, sentence in (
        ("no.tar", "no.tar cannot be restored, and nothing was changed: it is not a DensityLab backup"),
        ("missing", "missing: No such file or directory"),
        (".", "Is a directory"),
    ):
        monkeypatch.setenv("DENSITYLAB_HOME", str(other.home))
        answer = restore.main([str(copied.parent / path)])
        assert isinstance(answer, str) and sentence in answer and len(answer.splitlines()) == 1, answer
    process = backups.command(other, "restore", copied)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "") and "webhook to https://example.com/hook is whsec_" in output
    again = restore.main([str(copied)])
    assert again == "Nothing was restored: the database is not empty: restore into a new one"


def test_changed_copies_are_refused_or_restored_whole(copied: Path, tmp_path: Path):
    """`benchmarks/mutated_backups.py` tries a thousand."""
    whole = mutated_backups.restored(copied, tmp_path)
    outcomes = collections.Counter[str]()
    for number, changed in enumerate(mutated_backups.copies(copied.read_bytes(), 20, seed=2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = mutated_backups.outcome(changed, folder, whole)
        assert outcome in mutated_backups.GOOD, f"{changed.change} ({number}): {outcome}"
        outcomes[outcome] += 1
    assert outcomes["refused"] > 5 and outcomes["whole"] > 0
