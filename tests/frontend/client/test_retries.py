"""Retries of the client, against a real server that fails on request."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from densitylab.backend.shared.contracts import (
    ArchiveRequest,
    DensityRequest,
    EvaluationSpec,
    ExperimentRequest,
    RegisterRequest,
    RunPatch,
    RunsRequest,
    TokenRequest,
    WebhookRequest,
)
from densitylab.frontend.client import ApiClient, ApiError, connect, connect_async

TOKENS = b'{"items": []}'
EXPERIMENT = b'{"id": 7, "name": "e", "created_at": "2026-01-01T00:00:00Z"}'
Act = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return act


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """As a server that dies before it answers."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def half_an_answer(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [')
    handler.wfile.flush()
    hang_up(handler)


class Server(ThreadingHTTPServer):
    """Does to each request what stands next in `script`; then it answers as the API would."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Act] = []
        self.seen: list[tuple[str, float, dict[str, str]]] = []  # method, when, headers
        self.bodies: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def act(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.seen.append((self.command, time.monotonic(), dict(self.headers)))
        usual = answer(200, EXPERIMENT if self.command == "POST" else TOKENS)
        (self.server.script.pop(0) if self.server.script else usual)(self)

    do_GET = do_POST = do_DELETE = do_PATCH = act

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["sync", "async"])
def tokens(request: pytest.FixtureRequest, server: Server) -> Callable[..., Any]:
    """Lists tokens by either client."""

    async def list_them(patience: float) -> Any:
        async with connect_async(server.url, patience=patience) as client:
            return await client.tokens()

    def call(patience: float = 5.0) -> Any:
        if request.param == "async":
            return asyncio.run(list_them(patience))
        with connect(server.url, patience=patience) as client:
            return client.tokens()

    return call


@pytest.mark.parametrize(
    "fault",
    [
        answer(502),
        answer(503),
        answer(504),
        answer(429),
        hang_up,
        half_an_answer,
    ],
    ids=["502", "503", "504", "429", "hang-up", "half-an-answer"],
)
@pytest.mark.few(4)
def test_a_passing_fault_is_passed_by(server: Server, tokens: Any, fault: Act):
    server.script = [fault, fault]
    assert tokens() == []
    times = [at for _, at, _ in server.seen]
    assert len(times) == 3
    # Backs off: 0.2 s and up to 0.2 s of jitter, then twice that
    assert times[1] - times[0] >= 0.2 and times[2] - times[1] >= 0.4


def test_retry_after_is_honoured(server: Server, tokens: Any):
    server.script = [answer(429, Retry_After="1")]
    assert tokens() == []
    (_, first, _), (_, second, _) = server.seen
    assert second - first >= 1.0


def test_a_date_after_which_to_come_back_is_understood(server: Server, tokens: Any):
    server.script = [answer(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")]  # is over
    assert tokens() == []
    assert len(server.seen) == 2


def test_what_would_take_too_long_is_not_waited_for(server: Server, tokens: Any):
    server.script = [answer(503, Retry_After="3600")]
    began = time.monotonic()
    with pytest.raises(ApiError) as refused:
        tokens()
    assert (refused.value.status, refused.value.retry_after, len(server.seen)) == (503, 3600.0, 1)
    assert time.monotonic() - began < 5


def test_a_fault_that_stays_is_given_up(server: Server, tokens: Any):
    server.script = [answer(503)] * 50
    with pytest.raises(ApiError) as refused:
        tokens(patience=1.0)
    assert refused.value.status == 503 and 2 <= len(server.seen) <= 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_refusal_is_final(server: Server, tokens: Any, status: int):
    server.script = [answer(status)]
    with pytest.raises(ApiError) as refused:
        tokens()
    assert refused.value.status == status and len(server.seen) == 1


def test_a_launch_is_tried_again_with_the_same_key(server: Server):
    server.script = [hang_up, answer(503)]
    with connect(server.url) as client:
        assert client.launch(ExperimentRequest()).id == 7
        assert client.launch(ExperimentRequest()).id == 7
    keys = [headers["Idempotency-Key"] for _, _, headers in server.seen]
    assert len(keys) == 4 and len(set(keys[:3])) == 1 and keys[3] != keys[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda client: client.add_runs(1, RunsRequest(seeds=[1])),
        lambda client: client.evaluate(1, EvaluationSpec(key="accuracy")),
        lambda client: client.attribute({"runs": [1]}),
        lambda client: client.slice_density(DensityRequest(runs=[1], index=0)),
        lambda client: client.upload_image(b"png", "mnist"),
        lambda client: client.prepare_dataset("mnist"),
        lambda client: client.register(RegisterRequest(label="a", path="a")),
        lambda client: client.register_archive(ArchiveRequest(label="a"), "a.zip", io.BytesIO(b"zip")),
        lambda client: client.create_token(TokenRequest(name="a")),
        lambda client: client.create_webhook(WebhookRequest(url="http://a.org/")),
    ],
)
@pytest.mark.few(4)
def test_what_makes_something_is_tried_again_as_it_was(server: Server, make: Callable[[ApiClient], object]):
    server.script = [hang_up, answer(409)]
    with connect(server.url) as client, pytest.raises(ApiError):
        make(client)
    keys, lengths = {headers["Idempotency-Key"] for _, _, headers in server.seen}, {len(body) for body in server.bodies}
    assert (len(server.seen), len(keys), len(lengths)) == (2, 1, 1)  # a form has another boundary each time


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.cancel_run(1),
        lambda client: client.delete_run(1),
        lambda client: client.preflight(ExperimentRequest()),
    ],
    ids=["POST", "DELETE", "POST without a key"],
)
def test_what_may_have_been_done_is_not_done_twice(server: Server, act: Callable[[ApiClient], object]):
    server.script = [hang_up]
    with connect(server.url) as client, pytest.raises(ApiError) as refused:
        act(client)
    assert refused.value.status == 0 and len(server.seen) == 1


def test_no_patience_is_one_attempt(server: Server, tokens: Any):
    server.script = [answer(503)]
    with pytest.raises(ApiError):
        tokens(patience=0.0)
    assert len(server.seen) == 1


LOCKED = answer(
    503,
    b'{"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "the database is locked'
    b' by another transaction"}',
    Retry_After="1",
)


def test_a_locked_database_is_waited_for_even_by_a_page_with_little_patience(server: Server, tokens: Any):
    server.script = [LOCKED, LOCKED]
    assert tokens(patience=0.5) == []
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.cancel_run(1),
        lambda client: client.delete_run(1),
        lambda client: client.change_run(1, RunPatch(notes="a")),
    ],
    ids=["POST", "DELETE", "PATCH"],
)
def test_what_was_not_done_is_done_later(server: Server, act: Callable[[ApiClient], object]):
    server.script = [LOCKED, answer(404)]
    with connect(server.url, patience=0.5) as client, pytest.raises(ApiError) as refused:
        act(client)
    assert refused.value.status == 404 and len(server.seen) == 2


def test_a_database_that_stays_locked_is_given_up_and_said(server: Server, tokens: Any):
    server.script = [LOCKED] * 20
    with pytest.raises(ApiError, match="the database is locked by another transaction"):
        tokens(patience=0.5)
    assert 3 <= len(server.seen) <= 5


def test_no_patience_does_not_wait_for_a_locked_database(server: Server, tokens: Any):
    server.script = [LOCKED]
    with pytest.raises(ApiError):
        tokens(patience=0.0)
    assert len(server.seen) == 1


def test_others_are_served_while_one_backs_off(server: Server):
    """The async client sleeps without holding the event loop."""

    async def both() -> list[str]:
        order: list[str] = []
        async with connect_async(server.url) as client:

            async def slow() -> None:
                await client.tokens()
                order.append("slow")

            waiting = asyncio.create_task(slow())
            while not server.seen:
                await asyncio.sleep(0.01)
            await client.webhooks()
            order.append("quick")
            await waiting
        return order

    server.script = [answer(503, Retry_After="2")]
    assert asyncio.run(both()) == ["quick", "slow"]
