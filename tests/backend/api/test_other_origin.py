"""A page of another origin uses the API from a browser, with a token."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from densitylab.backend.shared.settings import Settings
from tests.backend.shared.test_events import Server

SCRIPT = """
async ([api, token]) => {
    const headers = {Authorization: `Bearer ${token}`};
    const listed = await (await fetch(`${api}/runs`, {headers})).json();
    const streamToken = (await (await fetch(`${api}/stream-tokens`, {method: "POST", headers})).json()).token;
    const source = new EventSource(`${api}/events?after=0&stream_token=${streamToken}`);
    const queued = new Promise(done => source.addEventListener("run.queued", event => done(JSON.parse(event.data))));
    const launched = await fetch(`${api}/experiments`, {
        method: "POST",
        headers: {...headers, "Content-Type": "application/json", "Idempotency-Key": "once"},
        body: JSON.stringify({name: "from a page"}),
    });
    const event = await queued;
    source.close();
    const last = await fetch(`${api}/runs`, {headers});
    return {
        before: listed.items.length,
        status: launched.status,
        location: launched.headers.get("Location"),
        run: event.run,
        after: (await last.json()).items.length,
        tag: last.headers.get("ETag"),
    };
}
"""


@pytest.fixture
def page_address() -> Iterator[str]:
    """Return the address of a server with an empty page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>dashboard</title>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


@pytest.mark.browser
def test_a_page_lists_launches_and_follows_events(browser: Any, page_address: str, settings: Settings):
    server = Server(settings, DENSITYLAB_API_TOKEN="secret", DENSITYLAB_CORS_ORIGINS=page_address)
    page = browser.new_page()
    try:
        page.goto(page_address)
        seen = page.evaluate(SCRIPT, [server.url, "secret"])
        assert (seen["before"], seen["status"], seen["location"]) == (0, 202, "/api/v1/experiments/1")
        assert (seen["run"], seen["after"]) == (1, 1) and seen["tag"]
        page.goto(page_address.replace("localhost", "127.0.0.1"))  # another origin
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate(SCRIPT, [server.url, "secret"])
    finally:
        page.close()
        server.process.terminate()
        server.process.wait()
