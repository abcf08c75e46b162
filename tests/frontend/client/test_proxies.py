"""Proxies of the environment: never for an API on this machine, and sentences for those that cannot be used."""

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from densitylab.frontend.client import ApiError, connect, connect_async
from densitylab.frontend.command_line import runs

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = b'{"items": [], "next_cursor": null}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers a listing of tokens; as a proxy it gets the whole address in `asked`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


proxy = server  # another one


@pytest.mark.parametrize("no_proxy", [None, "", "example.org", "*"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"])
def test_an_api_on_this_machine_is_never_asked_through_a_proxy(
    server: Server, proxy: Server, monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str | None
):
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    with connect(f"http://{host}:{server.server_address[1]}", patience=0) as client:
        assert client.tokens() == []
    assert proxy.asked == [] and len(server.asked) == 1


@pytest.mark.parametrize("value", ["socks5h://127.0.0.1:9", "nonsense://127.0.0.1:9", "http://[::1", "http://a:b:c"])
@pytest.mark.parametrize("name", VARIABLES)
def test_an_unusable_proxy_does_not_matter_on_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setenv(name, value)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    assert connect(url, patience=0).tokens() == []

    async def ask() -> None:
        async with connect_async(url, patience=0) as client:
            assert await client.tokens() == []

    asyncio.run(ask())


def test_another_machine_is_asked_through_the_proxy(proxy: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.server_address[1]}")  # without http://, as many write it
    assert connect("http://lab.example.org:8000", patience=0).tokens() == []
    assert proxy.asked == ["http://lab.example.org:8000/api/v1/tokens"]


def test_no_proxy_is_respected(proxy: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.setenv("NO_PROXY", socket.gethostname())
    with pytest.raises(ApiError, match="does not answer"):
        connect(f"http://{socket.gethostname()}:9", patience=0).tokens()
    assert proxy.asked == []


@pytest.mark.parametrize("value", ["nonsense://x", "http://[::1", "http://a:b:c", "http://", ":3128", "http://x:99999"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
def test_a_malformed_proxy_is_a_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ApiError) as refusal:
        connect("http://lab.example.org:8000")
    assert str(refusal.value).startswith(f"{name.upper()} is not the address of a proxy")


def test_a_socks_proxy_without_its_package_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ALL_PROXY", "socks5h://user:secret@127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)
    assert runs.main(["--url", "http://lab.example.org:8000"]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "ALL_PROXY" in said and "httpx[socks]" in said and "secret" not in said


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://x", "http://", "http://:80", "http://[::1", "http://127.0.0.1:99999", " http://x"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str):
    with pytest.raises(ApiError, match="expected an address"):
        connect(url)


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(ApiError, match="SSL_CERT_FILE"):
        connect("https://127.0.0.1:8000")
