"""Connections that are slow, incomplete, too many or lie about their length, against a real server."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from densitylab.backend.ops import migrate
from densitylab.backend.shared.settings import Settings
from tests.servers import free_port, until

# The server with shorter limits, and with the number of file descriptors that is usual
PROGRAM = """
import resource, sys
from densitylab.backend.api import http_protocol, server
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
http_protocol.PERIOD_SECONDS = 0.5
http_protocol.MAX_UNREAD_BYTES = 2**21
sys.exit(server.main())
"""
TOKEN = {"Authorization": "Bearer secret"}
HOST = b"Host: 127.0.0.1\r\n"
LET_IN = HOST + b"Authorization: Bearer secret\r\n"


@dataclass
class Server:
    port: int
    process: psutil.Process
    log: Path
    temporary: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def refused(self, reason: str) -> float:
        """Return the metric of refused connections."""
        text = httpx.get(f"{self.url}/metrics", headers=TOKEN, timeout=20).text
        found = re.search(rf'densitylab_refused_connections_total{{reason="{reason}"}} (\S+)', text)
        assert found is not None, text
        return float(found[1])


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    migrate.upgrade(Settings(home=folder))
    temporary = folder / "temporary"
    temporary.mkdir()
    port = free_port()
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "DENSITYLAB_HOME": str(folder),
        "DENSITYLAB_API_PORT": str(port),
        "DENSITYLAB_API_TOKEN": "secret",
        **{f"DENSITYLAB_{name.upper()}": value for name, value in settings.items()},
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=output, stderr=output)
    server = Server(port, psutil.Process(process.pid), log, temporary)
    try:
        until(lambda: _answers(server), log, 60)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _answers(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hostile")) as server:
        yield server


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes the connection."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(2**16):
            content += part
    return content


def answer(connection: socket.socket) -> bytes:
    """Return one JSON response."""
    content = b""
    while not content.endswith(b"}"):
        content += connection.recv(2**16)
    return content


@pytest.mark.parametrize(
    "start", [b"", b"GET /healthz HTTP/1.1\r\nX: ", b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN], ids=repr
)
@pytest.mark.few(1)
def test_half_sent_requests_keep_nobody_out(server: Server, start: bytes):
    def closed() -> float:
        return server.refused("connections") + server.refused("slow headers")

    before = closed()
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            connection = stack.enter_context(server.connect())
            with contextlib.suppress(ConnectionError):
                connection.sendall(start)
        assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
        assert server.process.num_fds() < 700
        until(lambda: closed() - before >= 1100, server.log, 30)
    # On a busy machine some are closed for their slow headers before they are too many
    line = re.compile(r"closed \d+ connections \((connections|slow headers)\), the last of 127.0.0.1")
    until(lambda: line.search(server.log.read_text()) is not None, server.log, 30)  # lines are written now and then


def test_an_upload_under_way_outlives_a_flood_of_half_sent_requests(server: Server):
    body = b'{"name": "' + b"e" * 50_000 + b'"}'
    with server.connect() as upload, contextlib.ExitStack() as stack:
        upload.sendall(b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Content-Length: %d\r\n" % len(body))
        upload.sendall(b"Content-Type: application/json\r\n\r\n")
        for start in range(0, len(body), 5000):
            for _ in range(100):
                stack.enter_context(server.connect())
            upload.sendall(body[start : start + 5000])
        assert upload.recv(100).startswith(b"HTTP/1.1 422")  # the name is too long


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET /healthz HTT", "slow headers"),
        (b"\r\n", "slow headers"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n", "slow headers"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET", "slow headers"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Content-Length: 9\r\n\r\n{", "slow body"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{", "slow body"),
        (b"POST /api/v1/registrations/archive HTTP/1.1\r\n" + LET_IN + b"Content-Length: 999999\r\n"
         b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n", "slow body"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\n{", "slow body"),  # after a 401
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\n{", "slow body"),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.few(3)
def test_what_is_not_completed_is_closed(server: Server, sent: bytes, reason: str):
    before = server.refused(reason)
    with server.connect() as connection:
        connection.sendall(sent)
        assert b"HTTP/1.1 408 Request Timeout" in received(connection)
    assert server.refused(reason) == before + 1
    log = server.log.read_text()
    assert f"({reason})" in log and "Traceback" not in log


def test_a_trickle_of_bytes_is_closed_too(server: Server):
    for start, part, reason in (
        (b"GET /healthz HTTP/1.1\r\n" + HOST, b"X: a\r\n", "slow headers"),
        (b"POST /api/v1/uploads HTTP/1.1\r\n" + LET_IN + b"Content-Length: 99999\r\n\r\n", b"a", "slow body"),
    ):
        before = server.refused(reason)
        with server.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(start)
            for _ in range(200):
                connection.sendall(part)
                time.sleep(0.05)
        assert server.refused(reason) == before + 1


def test_a_slow_body_that_makes_progress_is_served(server: Server):
    body = b'{"spec": {"epochs": ' + b" " * 6000 + b"0}}"
    with server.connect() as connection:
        connection.sendall(b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Content-Type: application/json\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 400):  # 4 KB a second for 1.5 s, three periods
            connection.sendall(body[start : start + 400])
            time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize("headers", [HOST, HOST + b"Authorization: Bearer wrong\r\n"])
def test_who_has_no_token_is_answered_before_the_body_and_sends_little_of_it(server: Server, headers: bytes):
    with server.connect() as connection:
        connection.sendall(
            b"POST /api/v1/registrations/archive HTTP/1.1\r\n" + headers + b"Content-Length: 2000000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\n'
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 401")  # nothing of the body was sent
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 2**27:
                sent += connection.send(b"a" * 2**16)
        assert sent < 2**24
    assert list(server.temporary.iterdir()) == []
    assert server.refused("unread body") >= 1


def test_a_connection_is_kept_after_an_early_answer_and_closed_when_idle(server: Server):
    with server.connect() as connection:
        connection.sendall(b"POST /api/v1/experiments HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 401")
        connection.sendall(b"123456789GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"POST /api/v1/experiments HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 401")
        connection.sendall(b"123456789")
        assert received(connection) == b""  # the usual five seconds


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 10**6, 431, "headers"),
        (b"GET /" + b"a" * 10**6, 431, "headers"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 101 + b"\r\n", 400, "invalid"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "
         + b"a" * 10**6, 431, "headers"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Transfer-Encoding: chunked\r\n\r\n1;"
         + b"a" * 10**6, 431, "headers"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /healthz HTTP/1.1\r\n" * 5000, 400, "invalid"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
         "invalid"),
        (b"\x16\x03\x01\x00\xa5\x01\x00", 400, "invalid"),
        (b"POST /api/v1/experiments HTTP/1.1\r\n" + LET_IN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "invalid"),
    ],
    ids=range(9),
)  # fmt: skip
def test_too_much_and_invalid_bytes_are_refused_and_counted(server: Server, sent: bytes, status: int, reason: str):
    before = server.refused(reason)
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        assert b"HTTP/1.1 %d " % status in received(connection)
    assert server.refused(reason) == before + 1
    assert "Traceback" not in server.log.read_text()


def test_an_idle_connection_gets_no_answer_when_it_is_replaced(server: Server):
    with server.connect() as idle, contextlib.ExitStack() as stack:
        idle.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer(idle).startswith(b"HTTP/1.1 200")
        for _ in range(600):
            stack.enter_context(server.connect())
        assert received(idle) == b""  # a client would read it as the response to its next request


def test_a_client_that_does_not_read_is_closed(server: Server):
    before = server.refused("slow reader")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        for _ in range(16):  # as many as may wait, whose answers are more than the kernel keeps
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: server.refused("slow reader") == before + 1, server.log, 30)


def test_websockets_are_not_accepted(server: Server):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a"}
    assert httpx.get(f"{server.url}/healthz", headers=upgrade).status_code == 200


def test_descriptors_and_memory_are_flat(server: Server):
    def attack() -> None:
        for _ in range(300):
            with server.connect() as connection:
                connection.sendall(b"POST /api/v1/uploads HTTP/1.1\r\n" + LET_IN + b"Content-Length: 8000000\r\n\r\n")
                connection.sendall(b"a" * 50_000)

    attack()
    until(lambda: server.process.num_fds() < 100, server.log, 30)
    descriptors, memory = server.process.num_fds(), server.process.memory_info().rss
    attack()
    until(lambda: server.process.num_fds() <= descriptors + 2, server.log, 30)
    assert server.process.memory_info().rss < 1.1 * memory


@pytest.mark.slow
def test_forwarded_addresses_are_believed_from_named_proxies_alone(tmp_path: Path):
    limits = {"rate_limit": "0.5"}  # one request, then two seconds
    for name, proxies, statuses in (
        ("none", {}, {200, 429}),
        ("named", {"trusted_proxies": "127.0.0.1"}, {200}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        with serving(folder, **limits, **proxies) as server:
            time.sleep(4)  # the bucket is full again
            answers = [
                httpx.get(f"{server.url}/healthz", headers={"X-Forwarded-For": f"93.184.216.{number}"})
                for number in range(5)
            ]
            assert {answer.status_code for answer in answers} == statuses, name


def test_streams_are_counted_by_address(tmp_path: Path):
    with serving(tmp_path, trusted_proxies="127.0.0.1") as server, contextlib.ExitStack() as stack:
        http = stack.enter_context(httpx.Client(base_url=f"{server.url}/api/v1", headers=TOKEN, timeout=20))

        def stream(address: str) -> int:
            request = http.build_request("GET", "/events", headers={"X-Forwarded-For": address})
            answer = http.send(request, stream=True)
            stack.callback(answer.close)
            return answer.status_code

        assert [stream("93.184.216.34") for _ in range(26)] == [200] * 25 + [503]
        # One client has a whole IPv6 network of 2**64 addresses
        assert [stream(f"2a00:1450:4001:81b::{number}") for number in range(26)] == [200] * 25 + [503]
        assert stream("2a00:1450:4001:81c::1") == 200
