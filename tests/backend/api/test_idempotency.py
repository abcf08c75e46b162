"""A request that makes something makes it once, however often it is sent with the same Idempotency-Key."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import func, select

from densitylab.backend.api.app import create_app
from densitylab.backend.reconciler import System
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import experiments
from densitylab.backend.shared.tables import Base

Request = dict[str, Any]


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((56, 28), level, np.uint8)).save(file, "PNG")
    return file.getvalue()


def archive(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr(f"{name}/1.png", picture(1))
    return file.getvalue()


def maps(method: str) -> Request:
    return {"json": {"runs": [1], "method": method, "samples": {"split": "test", "indices": [0]}}}


def logged(name: str) -> Request:
    return {"json": {"name": name, "dataset": {"key": "blockmnist"}}}


def published(name: str) -> Request:
    model = {"key": "torchvision", "params": {"name": name, "pretrained": True}}
    return {"json": {"dataset": {"key": "blockmnist"}, "model": model}}


def model_file(content: bytes, **request: Any) -> Request:
    fields = {"dataset": {"key": "blockmnist"}, **request}
    return {"data": {"request": json.dumps(fields)}, "files": {"file": ("x.pt", content)}}


# The path, the request, and another one
MAKING: dict[str, tuple[str, Request, Request]] = {
    "experiment": ("/experiments", {"json": {"name": "a"}}, {"json": {"name": "b"}}),
    "study": ("/studies", {"json": {"key": "scale"}}, {"json": {"key": "norms"}}),
    "runs": ("/experiments/1/runs", {"json": {"seeds": [7]}}, {"json": {"seeds": [8]}}),
    "evaluation": ("/runs/1/evaluations", {"json": {"key": "stability"}}, {"json": {"key": "pgd_linf"}}),
    "attribution": ("/attributions", maps("gradient"), maps("smoothgrad")),
    "density": ("/densities", {"json": {"runs": [1], "index": 0}}, {"json": {"runs": [1], "index": 1}}),
    "upload": (
        "/uploads?dataset=blockmnist",
        {"content": picture(1), "headers": {"Content-Type": "image/png"}},
        {"content": picture(2), "headers": {"Content-Type": "image/png"}},
    ),
    "registration": (
        "/registrations",
        {"json": {"label": "Birds", "path": "birds"}},
        {"json": {"label": "Fish", "path": "fish"}},
    ),
    "archive": (
        "/registrations/archive",
        {"data": {"request": '{"label": "Birds"}'}, "files": {"archive": ("x.zip", archive("a"))}},
        {"data": {"request": '{"label": "Birds"}'}, "files": {"archive": ("x.zip", archive("b"))}},
    ),
    "preview": ("/registrations/preview", {"json": {"path": "birds"}}, {"json": {"path": "fish"}}),
    "archive preview": (
        "/registrations/preview/archive",
        {"data": {"request": "{}"}, "files": {"archive": ("x.zip", archive("a"))}},
        {"data": {"request": "{}"}, "files": {"archive": ("x.zip", archive("b"))}},
    ),
    "preparation": ("/datasets/mnist/prepare", {}, {"json": {"params": {"check_sums": False}}}),
    "webhook": (
        "/webhooks",
        {"json": {"url": "http://127.0.0.1:9/a"}},
        {"json": {"url": "http://127.0.0.1:9/b"}},
    ),
    "logged run": ("/runs", logged("a"), logged("b")),
    "export": ("/runs/1/exports", {"json": {"formats": ["safetensors"]}}, {"json": {"formats": ["onnx"]}}),
    "published model": ("/models", published("resnet18"), published("resnet50")),
    "model file": ("/models/file", model_file(b"a", model={"key": "mlp"}), model_file(b"b", model={"key": "mlp"})),
    "inspection": ("/models/inspect", model_file(b"a"), model_file(b"b")),
    "penalties": ("/penalties", {"json": {"lambda_": 1}}, {"json": {"lambda_": 2}}),
}


@pytest.fixture
def private(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"webhook_private": True}))) as client:
        yield client


@pytest.fixture
def trained(work: Any) -> None:
    work.prepare()
    (run_id,) = work.launch()
    work.train(run_id)
    work.finish_evaluations(run_id)


def rows(system: System) -> dict[str, int]:
    tables = [table for table in Base.metadata.sorted_tables if table.name not in ("idempotency", "audit")]
    with system.database.read() as session:
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def send(client: TestClient, path: str, request: Request, key: str) -> Any:
    headers = {**request.get("headers", {}), "Idempotency-Key": key}
    return client.post(f"/api/v1{path}", **{**request, "headers": headers})


@pytest.mark.parametrize("kind", MAKING)
@pytest.mark.usefixtures("trained")
@pytest.mark.few(6)
def test_the_same_request_makes_one_and_another_is_refused(private: TestClient, system: System, kind: str):
    path, request, other = MAKING[kind]
    first = send(private, path, request, "k")
    assert first.is_success, first.text
    made, files = rows(system), system.store.everything()
    again = send(private, path, request, "k")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["location"] == first.headers["location"]
    refused = send(private, path, other, "k")
    assert refused.status_code == 409 and refused.json()["type"] == "/problems/idempotency-conflict", refused.text
    assert rows(system) == made and system.store.everything() == files
    assert private.get(first.headers["location"]).status_code == 200
    elsewhere = send(private, "/experiments", {"json": {"name": "x"}}, "k")
    assert elsewhere.status_code == 409
    assert send(private, path, request, "l").status_code in (200, 201, 202, 409)  # as without a key


def test_a_token_is_made_once_and_its_secret_shown_once(client: TestClient):
    path, request = "/tokens", {"json": {"name": "ada"}}
    first = send(client, path, request, "k")
    assert first.status_code == 201 and client.get(first.headers["location"]).json()["name"] == "ada"
    again = send(client, path, request, "k")
    assert again.status_code == 409 and f"made token {first.json()['id']}" in again.json()["detail"]
    assert again.json()["type"] == "/problems/idempotency-conflict" and "token" not in again.json()
    assert len(client.get("/api/v1/tokens").json()["items"]) == 1


def test_keys_of_many_requests_at_once(private: TestClient):
    made = []

    def post() -> None:
        answer = send(private, "/webhooks", {"json": {"url": "http://127.0.0.1:9/a"}}, "same")
        made.append((answer.status_code, answer.json()["id"], answer.json()["secret"]))

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1
    assert len(private.get("/api/v1/webhooks").json()["items"]) == 1


def test_two_keys_of_one_request_are_refused(client: TestClient):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    for path, body in (("/experiments", {}), ("/datasets/mnist/prepare", None), ("/tokens", {"name": "ada"})):
        refused = client.post(f"/api/v1{path}", json=body, headers=headers)
        assert refused.status_code == 422, path
        assert refused.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert client.get("/api/v1/experiments").json()["items"] == []


@pytest.mark.usefixtures("trained")
def test_what_was_made_and_deleted_since_is_not_answered_as_if_it_were_there(private: TestClient):
    launched = send(private, "/experiments", {"json": {"name": "a"}}, "launch").json()
    runs = f"/experiments/{launched['id']}/runs"
    added = send(private, runs, {"json": {"seeds": [7, 8]}}, "add").json()["added"]
    skipping = {"json": {"seeds": [7], "duplicates": "skip"}}
    assert send(private, runs, skipping, "skip").json()["skipped"] == added[:1]
    webhook = send(private, "/webhooks", {"json": {"url": "http://127.0.0.1:9/a"}}, "webhook").json()

    private.post(f"/api/v1/runs/{added[0]}/cancel")
    assert private.delete(f"/api/v1/runs/{added[0]}").is_success
    private.delete(f"/api/v1/webhooks/{webhook['id']}")
    for path, request, key, named in (
        (runs, {"json": {"seeds": [7, 8]}}, "add", f"run {added[0]},"),
        (runs, skipping, "skip", f"run {added[0]},"),
        ("/webhooks", {"json": {"url": "http://127.0.0.1:9/a"}}, "webhook", f"webhook {webhook['id']},"),
    ):
        again = send(private, path, request, key)
        assert again.status_code == 409 and again.json()["detail"].startswith(named), again.text
        assert "does not exist any more; take a new key" in again.json()["detail"]

    for run in (launched["runs"][0], added[1]):
        private.post(f"/api/v1/runs/{run}/cancel")
    assert private.delete(f"/api/v1/experiments/{launched['id']}").is_success
    again = send(private, "/experiments", {"json": {"name": "a"}}, "launch")
    assert again.status_code == 409 and again.json()["detail"].startswith(f"experiment {launched['id']},")
    assert send(private, runs, {"json": {"seeds": [7, 8]}}, "add").status_code == 404


def test_an_experiment_that_is_being_deleted_is_no_more(client: TestClient, system: System):
    launched = send(client, "/experiments", {"json": {"name": "a"}}, "k")
    path = launched.headers["location"]
    with system.database.write() as session:
        experiments.mark_deleting(session, launched.json()["id"])
    again = send(client, "/experiments", {"json": {"name": "a"}}, "k")
    assert again.status_code == 409 and "experiment 1, made by the first request" in again.json()["detail"]
    for answer in (
        client.get(path),
        client.patch(path, json={"notes": "x"}),
        client.delete(path),
        client.post(f"{path}/runs", json={"seeds": [7]}),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "experiment 1 does not exist; it may have been deleted"


@pytest.mark.parametrize("kind", MAKING)
@pytest.mark.usefixtures("trained")
@pytest.mark.few(5)
def test_the_audit_log_has_a_line_of_what_was_made_and_none_of_what_was_not(private: TestClient, kind: str):
    path, request, other = MAKING[kind]
    assert send(private, path, request, "k").is_success
    lines = private.get("/api/v1/audit").json()["items"]
    # Work that waits for the broker is delivered with any request: no change of who sends that one
    private.post("/api/v1/experiments", json={"name": "waits"})
    expected = len(private.get("/api/v1/audit").json()["items"])
    assert expected == len(lines) + 1
    assert send(private, path, request, "k").is_success
    assert send(private, path, other, "k").status_code == 409
    assert send(private, "/tokens", {"json": {"name": "ada"}}, "k").status_code == 409
    assert len(private.get("/api/v1/audit").json()["items"]) == expected


def test_every_post_that_makes_something_takes_a_key(client: TestClient):
    taking = set()
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for item in operations.get("post", {}).get("parameters", []):
            if item["name"] == "Idempotency-Key":
                taking.add(path.removeprefix("/api/v1"))
    expected = {
        "/experiments/{experiment_id}/runs",
        "/runs/{run_id}/evaluations",
        "/runs/{run_id}/exports",
        "/datasets/{key}/prepare",
        "/tokens",
    }
    assert taking == expected | {path.partition("?")[0] for path, _, _ in MAKING.values() if "1" not in path} - {
        "/datasets/mnist/prepare"
    }
