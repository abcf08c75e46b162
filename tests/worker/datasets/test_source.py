"""Downloads from a real server on this machine: resumed, checked, stopped, and with one-sentence errors."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from densitylab.worker.datasets.source import Published, Source, Unavailable
from densitylab.worker.errors import Interrupted

CONTENT = bytes(range(256)) * 20_000  # 5 MB


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.server.asked.append(self.headers.get("Range"))
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(asked[1]) if asked and self.server.resumes else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.asked, server.resumes = [], True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def published(server, *, path="/file.bin", md5=None):
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    return Published("file.bin", "raw", (url,), md5 or hashlib.md5(CONTENT).hexdigest())


def obtain(tmp_path, file, *, should_stop=lambda: False, progress=lambda share: None):
    source = Source(placed=tmp_path / "placed", downloads=tmp_path / "downloads")
    return source.obtain(file, check_sums=True, progress=progress, should_stop=should_stop)


def test_a_file_is_downloaded_once_with_progress(server, tmp_path):
    shares = []
    path = obtain(tmp_path, published(server), progress=shares.append)
    assert path.read_bytes() == CONTENT and path.parent == tmp_path / "downloads"
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 2
    assert obtain(tmp_path, published(server)) == path and len(server.asked) == 1


def test_a_download_that_was_damaged_since_is_downloaded_again(server, tmp_path):
    path = obtain(tmp_path, published(server))
    path.write_bytes(CONTENT[:-1] + b"x")
    assert obtain(tmp_path, published(server)).read_bytes() == CONTENT and len(server.asked) == 2


def test_a_placed_file_is_taken_and_nothing_downloaded(server, tmp_path):
    (tmp_path / "placed/raw").mkdir(parents=True)
    (tmp_path / "placed/raw/file.bin").write_bytes(CONTENT)
    assert obtain(tmp_path, published(server)) == tmp_path / "placed/raw/file.bin"
    assert server.asked == [] and not (tmp_path / "downloads").exists()


@pytest.mark.parametrize("resumes", [True, False])
def test_a_stopped_download_is_resumed(server, tmp_path, resumes):
    server.resumes = resumes
    answers = iter([False, False, True])
    with pytest.raises(Interrupted):
        obtain(tmp_path, published(server), should_stop=lambda: next(answers))
    size = (tmp_path / "downloads/file.bin.part").stat().st_size
    assert 0 < size < len(CONTENT)
    assert obtain(tmp_path, published(server)).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={size}-"]


def test_a_download_with_a_wrong_check_sum_is_deleted(server, tmp_path):
    with pytest.raises(Unavailable, match=r"not have the published check sum .*deleted.*raw/file\.bin by hand"):
        obtain(tmp_path, published(server, md5="0" * 32))
    assert not [path for path in (tmp_path / "downloads").iterdir() if path.suffix != ".lock"]


def test_a_host_that_does_not_answer_is_named_with_what_to_do(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(Unavailable) as refused:
        obtain(tmp_path, published(server))
    said = str(refused.value)
    assert "127.0.0.1 can't be reached" in said and "http://127.0.0.1:" in said
    assert f"put it at {tmp_path / 'placed/raw/file.bin'}" in said and said.count("\n") == 0


def test_an_error_status_is_reported(server, tmp_path):
    with pytest.raises(Unavailable, match=r"file\.bin could not be downloaded: 127\.0\.0\.1 answers 404"):
        obtain(tmp_path, published(server, path="/missing"))


def test_concurrent_preparations_download_once(server, tmp_path):
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(obtain(tmp_path, published(server)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(paths) == 2 and len(server.asked) == 1
