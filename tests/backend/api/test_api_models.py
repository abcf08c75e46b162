"""Inspect and import models through the API, without the worker's jobs."""

import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System
from densitylab.backend.services import pruning
from densitylab.backend.shared.contracts import Inspection, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import imports
from densitylab.backend.shared.tables import RunRow, TaskRow

REQUEST = {"dataset": {"key": "blockmnist"}, "model": {"key": "mlp", "params": {"hidden": 8}}}
FOUND = Inspection(
    id=0,
    file_name="a.pt",
    bytes=4,
    sha256="0" * 64,
    format="safetensors",
    weights_key="",
    parts=[],
    removed_prefix="",
    tensors=1,
    parameters=1,
    dtypes={},
    shapes=[],
    channels=None,
    outputs=None,
    class_names=[],
    class_order=None,
    entries={},
    models=[],
)


def send(
    client: TestClient, request: Any = REQUEST, path: str = "file", name: str = "paper.pth", **options: Any
) -> Any:
    return client.post(
        f"/api/v1/models/{path}",
        files={"file": (name, io.BytesIO(b"weights"))},
        data={"request": json.dumps(request)},
        **options,
    )


def payload(system: System, task: int) -> dict[str, Any]:
    with system.database.read() as session:
        return session.get_one(TaskRow, task).payload


def inspected(client: TestClient, system: System, **options: Any) -> tuple[int, str]:
    """Inspect a file as the worker does; return the task and the location of the file."""
    task = send(client, {"dataset": {"key": "blockmnist"}}, "inspect", **options).json()["id"]
    with system.database.write() as session:
        imports.keep_inspection(session, task, FOUND.model_copy(update={"id": task}))
        row = session.get_one(TaskRow, task)
        row.status, row.finished_at = Status.SUCCEEDED, now(session)
    return task, payload(system, task)["upload"]


def test_an_import_is_queued_with_its_file_and_complete_spec(client: TestClient, system: System):
    answer = send(client, {**REQUEST, "lambda_": 0.5, "tags": ["paper"]}, name="../x\\paper.pth")
    assert answer.status_code == 202 and answer.headers["Location"] == f"/api/v1/tasks/{answer.json()['id']}"
    assert (answer.json()["kind"], answer.json()["run"]) == ("import_model", None)
    stored = payload(system, answer.json()["id"])
    assert system.store.read(stored["upload"]) == b"weights" and stored["file_name"] == "paper.pth"
    assert stored["spec"]["lambda_"] == 0.5 and stored["spec"]["regularizer"]["key"] == "none"
    assert [item["key"] for item in stored["spec"]["evaluations"]] == ["accuracy"]
    assert client.get("/api/v1/runs").json()["items"] == []  # nothing is half-imported


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"dataset": {"key": "nope"}}, "/dataset/key"),
        ({"model": {"key": "mlp", "params": {"hidden": 0}}}, "/model/params/hidden"),
        ({"mean": [0.5]}, "/std"),
        ({"mean": [0.5, 0.5], "std": [0.5, 0.5]}, "/mean"),
        ({"normalization": "half", "mean": [0.5], "std": [0.5]}, "/normalization"),
        ({"normalization": "sideways"}, "/normalization"),
        ({"normalization": "imagenet"}, "/normalization"),  # of three channels
        ({"outputs": 100}, "/class_order"),
        ({"class_names": ["cat", "dog"]}, "/class_names"),
        ({"outputs": 3, "class_names": ["cat", "dog"]}, "/class_names"),
        ({"class_order": [0, 1]}, "/class_order"),
        ({"evaluations": [{"key": "groups"}]}, "/evaluations/0/key"),
        ({"lambda_": -1}, "/lambda_"),
        ({"colour": 1}, "/colour"),
        ({"upload": 7}, "/upload"),
    ],
)
def test_a_wrong_field_is_named_and_the_file_is_not_kept(
    client: TestClient, system: System, change: dict[str, Any], pointer: str
):
    answer = send(client, REQUEST | change)
    assert answer.status_code == 422, answer.json()
    assert pointer in {error["pointer"].removeprefix("/request") for error in answer.json()["errors"]}
    assert system.store.locations("models") == []


def test_what_does_not_exist_is_not_found(client: TestClient, system: System):
    unprepared = send(client, {**REQUEST, "dataset": {"key": "cifar10"}})
    assert unprepared.status_code == 409 and unprepared.json()["errors"][0]["pointer"] == "/dataset/key"
    missing = client.post("/api/v1/models", json={**REQUEST, "upload": 99})
    assert missing.status_code == 404 and missing.json()["errors"][0]["pointer"] == "/upload"
    nowhere = send(client, {**REQUEST, "experiment": 99})
    assert nowhere.status_code == 404 and system.store.locations("models") == []
    assert client.get("/api/v1/models/inspections/1").status_code == 404


def test_without_a_file_the_network_has_to_have_published_weights(client: TestClient, system: System):
    refused = client.post("/api/v1/models", json=REQUEST)
    assert refused.status_code == 422 and "pretrained" in refused.json()["detail"]
    model = {"key": "torchvision", "params": {"name": "resnet50", "pretrained": True}}
    answer = client.post("/api/v1/models", json={**REQUEST, "model": model})
    assert answer.status_code == 202
    stored = payload(system, answer.json()["id"])
    assert stored["upload"] is None and "resnet50" in stored["file_name"]


def test_a_file_that_is_too_large_or_unannounced_is_refused(client: TestClient, settings: Any):
    large = client.post(
        "/api/v1/models/file",
        content=b"",
        headers={"Content-Length": str(settings.model_mib * 2**20 + 2**21), "Content-Type": "multipart/form-data"},
    )
    assert large.status_code == 413
    unannounced = client.post("/api/v1/models/inspect", content=iter([b"x"]))
    assert unannounced.status_code == 411


def test_the_same_request_with_a_key_is_made_once(client: TestClient, system: System):
    headers = {"Idempotency-Key": "once"}
    first, again = (send(client, headers=headers).json()["id"] for _ in range(2))
    assert first == again and len(system.store.locations("models")) == 1
    other = send(client, {**REQUEST, "partial": True}, headers=headers)
    assert other.status_code == 409 and len(system.store.locations("models")) == 1


def test_an_inspection_is_answered_and_its_file_imported_until_a_day_later(client: TestClient, system: System):
    task, location = inspected(client, system)
    assert client.get(f"/api/v1/models/inspections/{task}").json()["id"] == task
    answer = client.post("/api/v1/models", json={**REQUEST, "upload": task})
    assert answer.status_code == 202 and payload(system, answer.json()["id"])["upload"] == location
    with system.database.read() as session:
        assert location in imports.uploads(session)
    with system.database.write() as session:
        session.get_one(TaskRow, task).finished_at -= 2 * pruning.DAY
        session.get_one(TaskRow, answer.json()["id"]).status = Status.CANCELLED
    pruning.prune(system.database, pruning.Retention())
    assert client.get(f"/api/v1/models/inspections/{task}").status_code == 404
    with system.database.read() as session:
        assert imports.uploads(session) == set()


def test_runs_are_listed_by_their_origin(work: Any, client: TestClient, system: System):
    members = work.launch(sweep={"seed": [0, 1]})
    with system.database.write() as session:
        row = session.get_one(RunRow, members[1])
        row.origin, row.lambda_, row.source = "imported", None, {"file_name": "a.pt"}
        session.query(TaskRow).filter_by(run_id=members[1], kind=TaskKind.TRAIN).update({"kind": TaskKind.IMPORT})
    (imported,) = client.get("/api/v1/runs", params={"origin": "imported"}).json()["items"]
    assert (imported["id"], imported["lambda_"], imported["source"]["file_name"]) == (members[1], None, "a.pt")
    assert imported == client.get(f"/api/v1/runs/{members[1]}").json()
    assert [run["id"] for run in client.get("/api/v1/runs", params={"origin": "trained"}).json()["items"]] == [
        members[0]
    ]
    assert client.get("/api/v1/runs", params={"origin": "stolen"}).status_code == 422
    more = client.post("/api/v1/experiments/1/runs", json={"seeds": [7]}).json()
    assert len(more["added"]) == 1  # of the trained run alone
    with system.database.write() as session:
        session.query(RunRow).update({"origin": "imported"})
    refused = client.post("/api/v1/experiments/1/runs", json={"seeds": [8]})
    assert refused.status_code == 409 and "trained here" in refused.json()["detail"]
