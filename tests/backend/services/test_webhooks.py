"""Webhooks of runs that end: sent once, signed, retried until accepted, and never to a private address."""

import contextlib
import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from densitylab.backend.api.app import create_app
from densitylab.backend.services import webhooks
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import webhooks as store
from densitylab.backend.shared.store.webhooks import RETRY_SECONDS
from densitylab.backend.shared.tables import DeliveryRow, WebhookRow
from tests.servers import until


class Receiver:
    """A real server that records requests and answers with given statuses."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.failing = 0  # requests that get 500 first
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append(({key.lower(): value for key, value in self.headers.items()}, body))
                receiver.failing -= 1
                self.send_response(500 if receiver.failing >= 0 else receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

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
    """Return a client of an API that allows private addresses, such as the receiver's."""
    with TestClient(create_app(settings.model_copy(update={"webhook_private": True}))) as client:
        yield client


def send(database: Database) -> None:
    """Attempt what is due of every webhook."""
    with contextlib.closing(webhooks.WebhookSender(database, allow_private=True)) as sender:
        until(lambda: sender.send_due() or not waiting(database))


def waiting(database: Database) -> list[int]:
    with database.read() as session:
        return store.waiting(session)


@contextlib.contextmanager
def answering(answer: bytes, release: threading.Event | None = None) -> Iterator[str]:
    """Serve these bytes to every request, after `release`; yield the URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(2**16)
            if release is not None:
                release.wait(30)
            with contextlib.suppress(OSError):
                self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


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
        ("run.succeeded", good, None),
        ("run.failed", bad, "diverged"),
    ]
    assert made["secret"] not in client.get("/api/v1/webhooks").text


def test_the_events_and_the_format_are_chosen_per_webhook(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    names = ["run.measured", "run.cancelled", "evaluation.failed", "experiment.finished"]
    made = client.post("/api/v1/webhooks", json={"url": receiver.url, "events": names, "format": "text"}).json()
    assert (made["events"], made["format"]) == (names, "text")
    good, cancelled = work.launch({"evaluations": []}, {"seed": [0, 1]})
    work.train(good)
    work.finish_evaluations(good)
    client.post(f"/api/v1/runs/{cancelled}/cancel")
    send(database)
    texts = [json.loads(body) for _, body in receiver.taken]
    experiment = client.get(f"/api/v1/runs/{good}").json()["experiment"]
    assert texts == [
        {"text": f"Run {good} of experiment {experiment} is trained, and every evaluation has ended."},
        {"text": f"Run {cancelled} of experiment {experiment} was cancelled."},
        {"text": f"Experiment {experiment} is finished: every run and evaluation has ended."},
    ]
    listed = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"]
    assert [item["event"]["type"] for item in listed] == ["experiment.finished", "run.cancelled", "run.measured"]
    assert {item["event"]["experiment"] for item in listed} == {experiment}


def test_a_text_has_nothing_that_a_chat_would_read_as_its_own(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    client.post("/api/v1/webhooks", json={"url": receiver.url, "format": "text"})
    (run,) = work.launch({"evaluations": []})
    work.end(work.start(run), Status.FAILED, 'loss > 1 & <!channel> "x"')
    send(database)
    ((_, body),) = receiver.taken
    assert json.loads(body)["text"].endswith(' has failed: loss &gt; 1 &amp; &lt;!channel&gt; "x"')


def test_an_unknown_event_of_a_webhook_is_refused(client: TestClient, receiver: Receiver):
    answer = client.post("/api/v1/webhooks", json={"url": receiver.url, "events": ["run.measurd"]})
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/events/0"
    assert client.post("/api/v1/webhooks", json={"url": receiver.url, "events": []}).status_code == 422


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


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\0\0\r\n\r\n",
        b"HTTP/1.1 \0 OK\r\n\r\n",
        b"HTTP/1.1 200\0 OK\r\n\r\n",
        b"\xff\x1b[31m\r\n",
        b"HTTP/1.1 99999999999999999999 OK\r\n\r\n",
        b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200,
        b"",
    ],
    ids=range(8),
)
@pytest.mark.few(3)
def test_whatever_a_receiver_answers_the_others_get_theirs(
    client: TestClient, receiver: Receiver, work: Any, database: Database, answer: bytes
):
    with answering(answer) as url:
        odd = client.post("/api/v1/webhooks", json={"url": url}).json()
        client.post("/api/v1/webhooks", json={"url": receiver.url})
        work.train(work.launch({"evaluations": []})[0])
        send(database)
    assert len(receiver.taken) == 1
    (item,) = client.get(f"/api/v1/webhooks/{odd['id']}/deliveries").json()["items"]
    assert item["attempts"] == 1 and item["delivered_at"] is None
    assert item["error"].isprintable() and 0 < len(item["error"]) <= 500


def test_an_address_that_cannot_be_requested_delays_nobody(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    made = client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).json()
    with database.write() as session:  # as an earlier version or a restored backup may have it
        session.execute(update(WebhookRow).values(url="http://127.0.0.1:1/ä\r\nX: 1"))
    client.post("/api/v1/webhooks", json={"url": receiver.url})
    work.train(work.launch({"evaluations": []})[0])
    send(database)
    assert len(receiver.taken) == 1
    (item,) = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"]
    assert item["attempts"] == 1 and item["error"]


def test_slow_receivers_delay_nobody(client: TestClient, receiver: Receiver, work: Any, database: Database):
    release = threading.Event()
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", release) as url:
        for _ in range(webhooks.AT_ONCE - 1):
            client.post("/api/v1/webhooks", json={"url": url})
        client.post("/api/v1/webhooks", json={"url": receiver.url})
        first, second = work.launch({"evaluations": []}, {"seed": [0, 1]})
        work.train(first)
        sender = webhooks.WebhookSender(database, allow_private=True)
        sender.send_due()
        until(lambda: len(receiver.taken) == 1)
        work.train(second)
        until(lambda: sender.send_due() or len(receiver.taken) == 2)  # while the others still wait
        assert len(waiting(database)) == webhooks.AT_ONCE - 1
        release.set()
        until(lambda: sender.send_due() or not waiting(database))
        sender.close()


def test_a_failed_delivery_does_not_hold_up_the_next_of_its_webhook(
    client: TestClient, receiver: Receiver, work: Any, database: Database
):
    made = client.post("/api/v1/webhooks", json={"url": receiver.url}).json()
    for run in work.launch({"evaluations": []}, {"seed": [0, 1, 2]}):
        work.train(run)
    receiver.failing = 1
    send(database)
    assert [json.loads(body)["data"]["run"] for _, body in receiver.taken] == [1, 2, 3]
    listed = client.get(f"/api/v1/webhooks/{made['id']}/deliveries").json()["items"]
    assert [item["delivered_at"] is not None for item in listed] == [True, True, False]


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


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8000/",
        "http://[::1]/",
        "http://10.1.2.3/",
        "http://192.168.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://100.64.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[fe80::1%25lo]/",
        "http://0.1.2.3/",
        "http://192.0.0.8/",
        "http://192.0.2.1/",
        "http://192.88.99.1/",
        "http://198.18.0.1/",
        "http://198.51.100.1/",
        "http://203.0.113.1/",
        "http://224.0.0.1/",
        "http://239.1.2.3/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::]/",
        "http://[::127.0.0.1]/",
        "http://[::93.184.216.34]/",
        "http://[::ffff:93.184.216.34]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::10.0.0.1]/",
        "http://[100::1]/",
        "http://[2001::1]/",
        "http://[2001:db8::1]/",
        "http://[2002:7f00:1::1]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[3fff::1]/",
        "http://[4000::1]/",
        "http://[5f00::1]/",
        "http://[fc00::1]/",
        "http://[fec0::1]/",
        "http://[fed0::1]/",
        "http://[ff02::1]/",
        "http://[ff0e::1]/",
        "http://user:word@93.184.216.34/",
        "http://nowhere.invalid/",
        "http://:80/",
        "https://93.184.216.34:99999/",
    ],
)
@pytest.mark.few(12)
def test_addresses_of_the_inner_network_and_nonsense_are_refused(settings: Settings, url: str):
    with pytest.raises(webhooks.UnsafeWebhookUrl):
        webhooks.resolve(url, allow_private=False)
    with TestClient(create_app(settings)) as client:
        answer = client.post("/api/v1/webhooks", json={"url": url})
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/url"


@pytest.mark.parametrize("address", ["93.184.216.34", "192.31.196.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_a_public_address_is_taken(address: str):
    host = f"[{address}]" if ":" in address else address
    assert webhooks.resolve(f"https://{host}/x", allow_private=False) == (address, 443)


def test_a_name_with_any_private_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    def lookup(host: str, port: int, **_more: Any) -> Any:
        both = ("93.184.216.34", "2002:7f00:1::1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in both]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(webhooks.UnsafeWebhookUrl, match="2002:7f00:1::1"):
        webhooks.resolve("http://two.example/", allow_private=False)


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
