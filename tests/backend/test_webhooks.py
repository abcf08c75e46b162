"""Runs that end are told once to who asked for it: signed, again until taken, to no address of the inner network."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from backend import webhooks
from backend.api.app import create_app
from backend.shared.contracts import Status
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store.webhooks import RETRY_SECONDS
from backend.shared.tables import DeliveryRow


class Receiver:
    """A real server that keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """An API that allows private addresses, so that it takes the receiver's."""
    with TestClient(create_app(settings.model_copy(update={"webhook_private": True}))) as client:
        yield client


def send(database: Database) -> None:
    webhooks.send_due(database, allow_private=True)


def make_due(database: Database) -> None:
    with database.write() as session:
        session.execute(update(DeliveryRow).where(DeliveryRow.due_at.is_not(None)).values(due_at=0))


def test_finished_and_failed_runs_are_told_once_and_signed(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    before, good, bad = work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    work.train(before)
    made = client.post("/api/v1/webhooks", json={"url": receiver.url}).json()
    work.train(good)
    work.end(work.start(bad), Status.FAILED, "diverged")
    for _ in range(3):
        send(database)
    contents = []
    for headers, body in receiver.taken:
        contents.append(Webhook(made["secret"]).verify(body, headers))  # raises where the signature is not right
        with pytest.raises(WebhookVerificationError):
            Webhook(made["secret"]).verify(body + b" ", headers)
    assert [(item["type"], item["data"]["run"], item["data"]["error"]) for item in contents] == [
        ("run.succeeded", good, None), ("run.failed", bad, "diverged")
    ]
    assert made["secret"] not in client.get("/api/v1/webhooks").text


def test_a_delivery_that_is_not_taken_is_tried_again_with_the_same_id(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    made = client.post("/api/v1/webhooks", json={"url": receiver.url}).json()
    work.train(work.launch({"evaluations": []})[0])
    receiver.status = 500
    send(database)
    send(database)  # too early
    listed = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"]
    assert [(item["attempts"], item["error"]) for item in listed] == [(1, "the receiver answered 500")]
    assert listed[0]["next_attempt_at"] is not None
    receiver.status = 204
    make_due(database)
    send(database)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1 and len(receiver.taken) == 2
    done = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"][0]
    assert done["delivered_at"] is not None and done["next_attempt_at"] is None and done["error"] is None


def test_a_receiver_that_never_takes_it_is_given_up(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    made = client.post("/api/v1/webhooks", json={"url": receiver.url}).json()
    work.train(work.launch({"evaluations": []})[0])
    receiver.status = 302  # a redirect is not followed
    for _ in range(len(RETRY_SECONDS) + 3):
        send(database)
        make_due(database)
    assert len(receiver.taken) == len(RETRY_SECONDS) + 1
    item = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"][0]
    assert item["delivered_at"] is None and item["next_attempt_at"] is None


def test_who_is_gone_costs_one_line_and_a_deleted_webhook_nothing(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    gone = client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).json()
    deleted = client.post("/api/v1/webhooks", json={"url": receiver.url}).json()
    assert client.delete(f"/api/v1/webhooks/{deleted['id']}").status_code == 200
    assert client.delete(f"/api/v1/webhooks/{deleted['id']}").status_code == 404
    work.train(work.launch({"evaluations": []})[0])
    send(database)
    assert receiver.taken == []
    (item,) = client.get(f"/api/v1/webhooks/{gone['id']}/deliveries").json()["items"]
    assert "refused" in item["error"].lower()


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/", "http://localhost:8000/", "http://[::1]/", "http://10.1.2.3/", "http://192.168.0.1/x",
    "http://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://100.64.0.1/", "http://[::ffff:127.0.0.1]/",
    "http://2130706433/", "http://0x7f.1/", "http://[fe80::1%25lo]/", "http://user:word@93.184.216.34/",
    "http://nowhere.invalid/", "http://:80/", "https://93.184.216.34:99999/",
])
def test_addresses_of_the_inner_network_and_nonsense_are_refused(settings: Settings, url: str):
    with pytest.raises(webhooks.Refused):
        webhooks.resolve(url, allow_private=False)
    with TestClient(create_app(settings)) as client:
        answer = client.post("/api/v1/webhooks", json={"url": url})
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/url"


def test_a_public_address_is_taken():
    assert webhooks.resolve("https://93.184.216.34/x", allow_private=False) == ("93.184.216.34", 443)


def test_the_name_is_looked_up_once_so_that_it_cannot_change_in_between(
    client: TestClient, receiver: Receiver, work: Any, database: Database, monkeypatch: pytest.MonkeyPatch
):
    real, asked = socket.getaddrinfo, []

    def lookup(host: str, *rest: Any, **more: Any) -> Any:
        if host != "rebinds.example":
            return real(host, *rest, **more)
        asked.append(host)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    made = client.post("/api/v1/webhooks", json={"url": f"http://rebinds.example:{receiver.port}/"})
    assert made.status_code == 201
    asked.clear()
    work.train(work.launch({"evaluations": []})[0])
    send(database)
    assert asked == ["rebinds.example"]
    assert receiver.taken[0][0]["host"] == f"rebinds.example:{receiver.port}"
    assert json.loads(receiver.taken[0][1])["type"] == "run.succeeded"
