"""Downloads to disk, from a server that stops in the middle, and from the API."""

import asyncio
import base64
import hashlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from densitylab.frontend.client import ApiError, connect, connect_async

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves `content`, and hangs up after each of the numbers of bytes in `stops`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.contents: dict[str, bytes] = {}  # by the file's name; default: `content`
        self.digest: str | None = sha256(CONTENT)
        self.ranges = True
        self.stops: list[int] = []
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.server.ranges else 0
        content = self.server.contents.get(self.path.rpartition("/")[2], self.server.content)[start:]
        self.send_response(416 if start and not content else 206 if start else 200)
        if self.server.digest:
            self.send_header("Repr-Digest", self.server.digest)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        stop = self.server.stops.pop(0) if self.server.stops else None
        self.wfile.write(content[:stop])
        if stop is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def sha256(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_arrives_with_its_progress(server: Server, tmp_path: Path):
    seen: list[tuple[int, int | None]] = []
    path = connect(server.url).download(1, "checkpoint.pt", tmp_path, progress=lambda *state: seen.append(state))
    assert path == tmp_path / "checkpoint.pt" and path.read_bytes() == CONTENT
    assert seen == sorted(seen) and seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_continues(server: Server, tmp_path: Path, ranges: bool):
    server.stops, server.ranges = [300_000, 500_000], ranges
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "model.pt"
    assert connect(server.url).download(1, "checkpoint.pt", target, progress=lambda *s: seen.append(s)) == target
    assert target.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(server.asked) == 3
    if ranges:
        assert server.asked == [None, "bytes=300000-", "bytes=800000-"] and seen == sorted(seen)


def test_a_later_call_continues(server: Server, tmp_path: Path):
    (tmp_path / "checkpoint.pt.part").write_bytes(CONTENT[:400_000])
    connect(server.url).download(1, "checkpoint.pt", tmp_path)
    assert server.asked == ["bytes=400000-"] and (tmp_path / "checkpoint.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"of another file", CONTENT, CONTENT + b"more"], ids=["other", "all", "longer"])
@pytest.mark.parametrize("with_digest", [True, False])
def test_a_part_of_another_file_is_dropped(server: Server, tmp_path: Path, part: bytes, with_digest: bool):
    server.digest = server.digest if with_digest else None
    (tmp_path / "checkpoint.pt.part").write_bytes(part)
    connect(server.url).download(1, "checkpoint.pt", tmp_path)
    assert server.asked == [f"bytes={len(part)}-", None] and (tmp_path / "checkpoint.pt").read_bytes() == CONTENT


def test_a_damaged_file_replaces_nothing(server: Server, tmp_path: Path):
    server.digest = sha256(b"other")
    target = tmp_path / "checkpoint.pt"
    target.write_bytes(b"earlier")
    with pytest.raises(ApiError, match="changed on its way"):
        connect(server.url).download(1, "checkpoint.pt", target)
    assert target.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [target]


def test_a_server_that_only_hangs_up(server: Server, tmp_path: Path):
    server.stops = [0] * 5
    with pytest.raises(ApiError) as error:
        connect(server.url).download(1, "checkpoint.pt", tmp_path)
    assert error.value.status == 0 and len(server.asked) == 1


def test_a_folder_that_is_not_there(server: Server, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        connect(server.url).download(1, "checkpoint.pt", tmp_path / "absent" / "file")


def test_the_asynchronous_client_downloads_as_well(server: Server, tmp_path: Path):
    server.stops = [100_000]

    async def downloaded() -> Path:
        async with connect_async(server.url) as client:
            return await client.download(1, "checkpoint.pt", tmp_path)

    assert asyncio.run(downloaded()).read_bytes() == CONTENT and len(server.asked) == 2


MEASURED = """
import sys
from pathlib import Path
from densitylab import connect

def peak() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

url, folder = sys.argv[1:]
client = connect(url)
client.download(1, "small.pt", folder)
before = peak()
client.download(1, "large.pt", folder)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_a_large_file_does_not_pass_through_memory(server: Server, tmp_path: Path):
    server.contents = {"large.pt": CONTENT * 192}
    server.digest = None
    command = [sys.executable, "-c", MEASURED, server.url, str(tmp_path)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert (tmp_path / "large.pt").stat().st_size == 192 * 2**20 and grown < 8 * 2**20


def test_a_file_of_the_api(live_api, tmp_path: Path):
    (number,) = live_api.train({"evaluations": []})
    path = live_api.client.download(number, "checkpoint.pt", tmp_path)
    assert path.read_bytes() == live_api.client.artifact(number, "checkpoint.pt")
    path.with_name("checkpoint.pt.part").write_bytes(path.read_bytes()[:3])
    assert live_api.client.download(number, "checkpoint.pt", tmp_path).read_bytes() == b"weights"
    with pytest.raises(ApiError) as error:
        live_api.client.download(number, "absent.npz", tmp_path)
    assert error.value.status == 404 and sorted(tmp_path.iterdir()) == [path]
