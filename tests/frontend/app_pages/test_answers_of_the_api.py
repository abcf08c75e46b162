"""The page in front of an API that refuses, fails, or is gone while a button is pressed: a sentence, nothing lost."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import streamlit as st

from tests.frontend.conftest import forgotten
from tests.frontend.page_text import button, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


class Gate:
    """Passes requests on to an API; answers changes, or all requests, in its place while it is told to."""

    def __init__(self, target: str) -> None:
        self.status: int | None = None
        self.body = b""
        self.reads_too = False
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def _pass(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if gate.status is not None and (gate.reads_too or self.command != "GET"):
                    if gate.status == 0:
                        self.connection.close()
                        return
                    return self._answer(gate.status, gate.body, "application/problem+json")
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.request(self.command, target + self.path, content=content, headers=headers, timeout=60)
                return self._answer(answer.status_code, answer.content, answer.headers["content-type"])

            def _answer(self, status: int, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _pass

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, status: int, detail: str = "", errors: tuple[tuple[str, str], ...] = ()) -> None:
        problem = {"title": "Problem", "status": status, "detail": detail}
        problem["errors"] = [{"pointer": pointer, "detail": text} for pointer, text in errors]
        self.status, self.body = status, json.dumps(problem).encode()


@pytest.fixture
def gate(live_api, monkeypatch) -> Iterator[Gate]:
    gate = Gate(live_api.url)
    monkeypatch.setenv("DENSITYLAB_API_URL", gate.url)
    with forgotten():
        yield gate
    gate.server.shutdown()
    gate.server.server_close()


@pytest.mark.parametrize(
    ("status", "detail", "errors", "sentences"),
    [
        (0, "", (), ["does not answer"]),
        (401, "a token is required", (), ["A token is required", "DENSITYLAB_API_TOKEN"]),
        (403, "this token is read-only", (), ["This token is read-only."]),
        (409, "the run is being deleted", (), ["The run is being deleted."]),
        (413, "the body has more than 1 MiB", (), ["The body has more than 1 MiB."]),
        (422, "x", (("/tags/0", "bad tag"), ("/notes", "bad note")), ["Bad tag.", "Bad note."]),
        (422, "x", (("/tags/0", "bad tag"), ("/elsewhere", "is wrong")), ["Bad tag.", "Elsewhere: is wrong."]),
        (429, "too many requests; wait 3 s", (), ["Too many requests; wait 3 s."]),
        (500, "an unexpected error", (), ["An unexpected error."]),
        (503, "the database does not answer", (), ["The database does not answer."]),
        (507, "the disk of the database is full", (), ["The disk of the database is full."]),
        (502, None, (), ["answered 502"]),
    ],
)
@pytest.mark.few(3)
def test_an_answer_to_a_form_is_a_sentence_and_what_was_typed_stays(
    page, live_api, gate, status, detail, errors, sentences
):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run)
    app = page.open("run", run=str(run))
    notes = next(item for item in app.text_area if item.label == "Notes")
    notes.set_value("typed for ten minutes")
    if detail is None:
        gate.status, gate.body = status, b"<html>a proxy's page</html>"
    else:
        gate.answer(status, detail, errors)
    app = button(app, "Save").click().run()
    text = page_text(app).replace("\\", "")
    assert all(sentence in text for sentence in sentences), text
    assert "Traceback" not in text and live_api.client.run(run).notes == ""
    gate.status = None
    page_text(button(app, "Save").click().run())
    assert live_api.client.run(run).notes == "typed for ten minutes"


@pytest.mark.parametrize("name", ["run", "experiment", "launch", "datasets"])
@pytest.mark.few(2)
def test_what_was_typed_is_there_again_when_the_api_is(page, live_api, gate, name):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run)
    link = {"run": {"run": str(run)}, "experiment": {"experiment": str(live_api.client.run(run).experiment)}}
    label, click = {"launch": ("Name", "Launch 1 run"), "datasets": ("Name", "Register")}.get(name, ("Notes", "Save"))
    app = page.open(name, **link.get(name, {}))

    def field():
        return next(item for kind in (app.text_area, app.text_input) for item in kind if item.label == label)

    field().set_value("typed")
    gate.answer(503, "the database does not answer")
    gate.reads_too = True
    st.cache_resource.clear()  # the catalog of the page is a minute old
    app = button(app, click).click().run()
    assert "The database does not answer." in page_text(app)
    gate.status = None
    again = [item for item in app.button if item.label == "Try again"]  # unless the page is drawn in part
    app = again[0].click().run() if again else app.run()
    page_text(app)
    assert field().value == "typed"


@pytest.mark.parametrize(
    ("name", "label"),
    [("home", "Launch the demo"), ("run", "Cancel"), ("run", "Archive"), ("experiment", "Cancel 1"), ("launch", None)],
)
@pytest.mark.parametrize("status", [0, 409])
@pytest.mark.few(2)
def test_a_button_without_a_form(page, live_api, gate, name, label, status):
    (run,) = live_api.launch(SMALL)
    link = {"run": {"run": str(run)}, "experiment": {"experiment": str(live_api.client.run(run).experiment)}}
    app = page.open(name, **link.get(name, {}))
    gate.answer(status, "the request cannot be served")
    chosen = next(item for item in app.button if item.label == label or (label is None and item.key == "launch-button"))
    text = page_text(chosen.click().run())
    assert "The request cannot be served." in text or "does not answer" in text
    gate.status = None
    live_api.client.cancel_run(run)
