"""The page's own process: known hosts, origins, the path of a public address, and the headers of its answers."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from densitylab.frontend.ui.live_chart import LIBRARY
from tests.servers import free_port, until

ICON = Path(__file__).parents[2] / "frontend" / "icon.png"


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[str]:
    """Start the page and yield its host and port."""
    port, log = free_port(), folder / "log"
    environment = {**os.environ, "DENSITYLAB_HOME": str(folder), "DENSITYLAB_UI_PORT": str(port), **settings}
    with log.open("wb") as output:
        argv = [sys.executable, "-P", "-m", "densitylab.frontend.page_server"]
        process = subprocess.Popen(argv, env=environment, cwd=folder, stdout=output, stderr=output)
    address = f"127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(address), log)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the host and port of the page, whose public address has a path."""
    settings = {"DENSITYLAB_ALLOWED_HOSTS": "*.lab.example", "DENSITYLAB_PUBLIC_URL": "http://localhost:8080/lab"}
    with served(tmp_path_factory.mktemp("page"), **settings) as address:
        yield address


def answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/_stcore/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def get(address: str, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"http://{address}{path}", headers=headers, trust_env=False)


def opens(address: str, path: str = "/_stcore/stream", **headers: str) -> bool:
    """Return whether Streamlit accepts a WebSocket with these headers instead of a browser's."""
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)))
    try:
        # The client sends the Host of its address
        named = f"ws://{headers.get('Host', address)}{path}"
        with connect(named, sock=connection, origin=headers.get("Origin"), subprotocols=["streamlit"]):
            return True
    except InvalidStatus as refusal:
        assert refusal.response.status_code == 403
        return False


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "lab.example", "192.0.2.1", "[::2]"])
def test_a_foreign_host_opens_nothing(page: str, host: str):
    for path in ("/", "/lab/", "/lab/run", "/_stcore/health", "/_stcore/host-config", "/static/x.js"):
        assert get(page, path, Host=host).status_code == 400
    assert not opens(page, Host=host, Origin=f"http://{host}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "a.lab.example", "LOCALHOST:8501"])
def test_a_known_host_opens_the_page(page: str, host: str):
    assert get(page, "/", Host=host).status_code == 200
    assert opens(page, Host=host.lower(), Origin=f"http://{host.lower()}")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:3000", "http://127.0.0.1", "null", "https://localhost:8080"]
)
def test_the_page_of_another_site_opens_no_websocket(page: str, origin: str):
    assert not opens(page, Origin=origin)


def test_programs_and_the_public_origin_open_a_websocket(page: str):
    assert opens(page)
    assert opens(page, Origin="http://localhost:8080"), "behind a proxy that names another host"
    assert opens(page, "/lab/_stcore/stream", Host="localhost:8080", Origin="http://localhost:8080")


def test_no_other_host_may_send_messages_to_the_page(page: str):
    assert get(page, "/_stcore/host-config").json()["allowedOrigins"] == []
    assert get(page, "/").headers["cross-origin-opener-policy"] == "same-origin"


def test_another_site_cannot_upload(page: str):
    address = f"http://{page}/_stcore/upload_file/session/file"
    refused = httpx.put(address, headers={"Origin": "http://evil.example"}, trust_env=False)
    assert refused.status_code == 403 and "another site" in refused.text


@pytest.mark.parametrize("prefix", ["", "/lab"])
def test_the_page_is_served_with_and_without_the_prefix(page: str, prefix: str):
    document = get(page, f"{prefix}/compare")
    assert "<div id=" in document.text
    script = re.search(r'src="\./(static/js/[^"]+)"', document.text)
    assert script and "javascript" in get(page, f"{prefix}/{script[1]}").headers["content-type"]
    library = get(page, f"{prefix}/{LIBRARY}")
    assert library.headers["content-type"].startswith("text/javascript") and "plotly.js" in library.text[:200]


def test_redirects_stay_below_the_prefix(page: str):
    assert get(page, "/lab").headers["location"] == "/lab/"
    assert get(page, "/lab/run/").headers["location"] == "/lab/run"


def test_settings_of_streamlit_that_lie_about_change_no_address(tmp_path: Path):
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\nbaseUrlPath = "other"\nport = 1\n')
    with served(tmp_path, STREAMLIT_SERVER_BASE_URL_PATH="lab", STREAMLIT_SERVER_PORT="1") as address:
        assert get(address, "/_stcore/health").text == "ok"
        assert get(address, f"/{LIBRARY}").headers["content-type"].startswith("text/javascript")
        assert opens(address)


@pytest.mark.parametrize("path", ["/lab/", "/lab/launch"])
def test_the_document_has_title_and_icon_before_the_script_sets_them(page: str, path: str):
    answer = get(page, path, Accept="text/html,*/*")
    assert "<title>DensityLab</title>" in answer.text and int(answer.headers["content-length"]) == len(answer.content)
    assert get(page, "/lab/favicon.png").content == ICON.read_bytes()


def test_every_answer_keeps_frames_and_foreign_scripts_away(page: str):
    for path in ("/lab/", "/lab/_stcore/health", f"/lab/{LIBRARY}", "/lab/missing/_stcore/health"):
        headers = get(page, path).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "default-src 'self'" in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert headers["x-content-type-options"] == "nosniff"


def test_an_unexpected_error_is_a_sentence_without_paths():
    def script() -> None:
        from densitylab.frontend.page_server import show_unexpected

        show_unexpected(ValueError("at /srv/secret"))

    shown = AppTest.from_function(script).run()
    assert [error.value for error in shown.error] == [
        "An unexpected error; the log of the page has the details. Please report it."
    ]
    assert not shown.exception


def test_the_page_refuses_unsafe_settings_as_the_api_does(tmp_path: Path):
    environment = {**os.environ, "DENSITYLAB_HOME": str(tmp_path), "DENSITYLAB_UI_HOST": "0.0.0.0"}
    argv = [sys.executable, "-P", "-m", "densitylab.frontend.page_server"]
    refused = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1 and "DENSITYLAB_API_TOKEN" in refused.stderr
    assert "Traceback" not in refused.stderr
