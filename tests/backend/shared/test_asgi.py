"""Middleware that API and page share, around a small application."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from densitylab.backend.shared.asgi.path_prefix import PathPrefix
from densitylab.backend.shared.asgi.security_headers import SecurityHeaders
from densitylab.backend.shared.asgi.trusted_hosts import TrustedHosts

FOREIGN = ("evil.example", "localhost.evil.example", "localhost:8000@evil.example", "127.0.0.1.evil.example", "[::2]")


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


async def moved(request: Request) -> RedirectResponse:
    return RedirectResponse(request.query_params.get("to", "/runs"))


async def framed(_: Request) -> PlainTextResponse:
    return PlainTextResponse("", headers={"Content-Security-Policy": "default-src 'self'"})


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.url.path)
    await socket.close()


def client(*middleware: Middleware, host: str = "localhost") -> TestClient:
    routes = [Route("/moved", moved), Route("/framed", framed), WebSocketRoute("/stream", stream)]
    app = Starlette(routes=[*routes, Route("/{path:path}", echo)], middleware=middleware)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.fixture
def trusting() -> TestClient:
    return client(Middleware(TrustedHosts, allowed=["localhost"], refusal=PlainTextResponse("refused", 400)))


@pytest.mark.parametrize("host", [*FOREIGN, ""])
def test_a_foreign_name_opens_neither_a_request_nor_a_websocket(trusting: TestClient, host: str):
    assert trusting.get("/", headers={"Host": host}).status_code == 400
    with pytest.raises(WebSocketDisconnect), trusting.websocket_connect("/stream", headers={"Host": host}):
        pass


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8501"])
def test_a_known_name_opens_both(trusting: TestClient, host: str):
    assert trusting.get("/", headers={"Host": host}).status_code == 200
    with trusting.websocket_connect("/stream", headers={"Host": host}) as socket:
        assert socket.receive_text() == "/stream"


def test_the_address_of_the_connection_itself_is_known():
    trusting = client(Middleware(TrustedHosts, allowed=[], refusal=PlainTextResponse("", 400)), host="192.0.2.1")
    assert trusting.get("/").status_code == 200
    assert trusting.get("/", headers={"Host": "192.0.2.2"}).status_code == 400


@pytest.mark.parametrize(
    ("arrived", "host", "status"),
    [
        (("::ffff:192.0.2.1", 8501), "192.0.2.1:8501", 200),
        (("2001:db8::1", 8501), "[2001:db8::1]:8501", 200),
        (("2001:db8::1", 8501), "[2001:db8::2]", 400),
        (None, "192.0.2.1", 400),
    ],
)
def test_a_connection_is_known_by_its_address(arrived: tuple[str, int] | None, host: str, status: int):
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    trusting = TrustedHosts(PlainTextResponse("", 200), allowed=[], refusal=PlainTextResponse("", 400))
    scope = {"type": "http", "method": "GET", "headers": [(b"host", host.encode())], "server": arrived}
    asyncio.run(trusting(scope, receive, send))
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("asked", "served"),
    [("/lab/", "/"), ("/lab/run", "/run"), ("/run", "/run"), ("/labs", "/labs"), ("/lab/lab/x", "/lab/x")],
)
def test_the_prefix_is_removed_where_it_is_present(asked: str, served: str):
    assert client(Middleware(PathPrefix, prefix="/lab")).get(asked).text == served


def test_the_prefix_alone_leads_to_the_page_below_it():
    answer = client(Middleware(PathPrefix, prefix="/lab")).get("/lab?run=1")
    assert (answer.status_code, answer.headers["location"]) == (308, "/lab/?run=1")


@pytest.mark.parametrize(
    ("given", "sent"),
    [("/runs", "/lab/runs"), ("https://example.org/", "https://example.org/"), ("//example.org", "//example.org")],
)
def test_a_location_on_this_server_gets_the_prefix(given: str, sent: str):
    below = client(Middleware(PathPrefix, prefix="/lab"))
    assert below.get("/moved", params={"to": given}).headers["location"] == sent


def test_without_a_prefix_nothing_changes():
    bare = client(Middleware(PathPrefix, prefix=""))
    assert bare.get("/lab/run").text == "/lab/run" and bare.get("/moved").headers["location"] == "/runs"


def test_a_websocket_below_the_prefix_is_opened():
    with client(Middleware(PathPrefix, prefix="/lab")).websocket_connect("/lab/stream") as socket:
        assert socket.receive_text() == "/stream"


def test_every_answer_says_what_it_may_do():
    answering = client(Middleware(SecurityHeaders, policy="default-src 'none'"))
    answer = answering.get("/missing")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    own = answering.get("/framed")
    assert own.headers.get_list("content-security-policy") == ["default-src 'self'"]
