"""Errors of full stores and databases, as each kind reports them."""

import errno
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from densitylab.backend.shared import disk_full
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.disk_full import DiskFull
from tests.servers import S3_KEYS, fresh_connections
from tests.small_disk import small_disk

ANSWERS = {
    "MinIO": (507, "XMinioStorageFull"),
    "Ceph": (403, "QuotaExceeded"),
    "another": (507, "SomethingOfItsOwn"),
}


class FullStore(BaseHTTPRequestHandler):
    """Answers uploads as an object store whose disks are full does."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, code = self.server.answer
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no room</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def full_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)
    with ThreadingHTTPServer(("127.0.0.1", 0), FullStore) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with fresh_connections():
            yield server
        server.shutdown()


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_full_object_store_is_named(full_store: ThreadingHTTPServer, kind: str):
    full_store.answer = ANSWERS[kind]
    with pytest.raises(DiskFull) as full:
        ArtifactStore("s3://bucket/lab").write("runs/1/a.pt", b"x")
    assert full.value.strerror == "the disk of the artifact store is full" and full.value.has_room()


def test_another_refusal_of_an_object_store_is_not_a_full_disk(full_store: ThreadingHTTPServer):
    full_store.answer = (403, "AccessDenied")
    with pytest.raises(OSError) as refusal:
        ArtifactStore("s3://bucket/lab").write("runs/1/a.pt", b"x")
    assert not isinstance(refusal.value, DiskFull)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_errors_of_files_are_named_and_others_are_left(number: int, tmp_path: Path):
    with pytest.raises(DiskFull, match="the disk of the data folder is full"), disk_full.named("data folder"):
        raise OSError(number, "refused")
    with pytest.raises(PermissionError), disk_full.named("data folder"):
        raise PermissionError(errno.EACCES, "refused")
    unnamed = disk_full.full_disk(OSError(number, "refused"), {"data folder": tmp_path})
    assert isinstance(unnamed, DiskFull) and unnamed.disk == "data folder"
    assert disk_full.full_disk(PermissionError(errno.EACCES, "refused"), {"data folder": tmp_path}) is None


def test_an_unnamed_error_is_that_of_the_disk_without_room(tmp_path: Path):
    with small_disk(tmp_path / "small", kib=256) as disk:
        folders = {"data folder": tmp_path, "temporary folder": disk.folder}
        disk.fill()
        full = disk_full.full_disk(OSError(errno.ENOSPC, "refused"), folders)
        assert isinstance(full, DiskFull) and full.disk == "temporary folder" and not full.has_room()
        disk.empty()
        assert full.has_room()


def test_room_is_what_was_needed(tmp_path: Path):
    with small_disk(tmp_path, kib=1024):
        assert DiskFull("data folder", tmp_path, needed=512 * 1024).has_room()
        assert not DiskFull("data folder", tmp_path, needed=2 * 2**20).has_room()
