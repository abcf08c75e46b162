"""Register images and remove data sets through the API, without the worker's job."""

import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from densitylab.backend import reconciler
from densitylab.backend.api.middleware import body_limit
from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import RegistrationPreview, Status
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, registered_datasets, registration_previews
from densitylab.backend.shared.tables import RegisteredRow, TaskRow

FACTS = {
    "num_classes": 2,
    "class_names": ["a", "b"],
    "group_names": ["x", "y"],
    "channels": 3,
    "image_size": [16, 16],
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
    "train_size": 14,
    "has_mask": False,
    "has_groups": True,
}
PREVIEW: dict[str, Any] = {
    "layout": "table",
    "problems": [],
    "columns": [{"name": "y", "role": "label", "distinct": 2, "examples": ["0", "1"], "reason": ""}],
    "class_names": ["0", "1"],
    "attributes": [],
    "group_names": [],
    "grouped_by": [],
    "counts": [{"label": 0, "group": None, "train": 5, "validation": 1, "test": 2}],
    "sizes": [{"height": 16, "width": 16, "images": 8}],
    "sized": 8,
    "has_mask": False,
    "images": [],
    "passed_over": [],
    "passed_over_count": 0,
    "notes": [],
}


def enter(system: System, settings: Settings, key: str = "my_birds") -> None:
    """Register as the job does."""
    folder = datasets.prepared_folder(settings.data_dir, key, {})
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(bytes(1000))
    system.store.write(f"datasets/{key}/x/samples.npz", bytes(500))
    with system.database.write() as session:
        registered_datasets.add(session, key, label="My birds", summary="Your own.", facts=FACTS)
        datasets.set_ready(
            session,
            key,
            {},
            size=1000,
            data_hash="e" * 64,
            sizes={"train": 14, "test": 4},
            class_counts={},
            group_counts={"train": [10, 4]},
            samples_location=f"datasets/{key}/x/samples.npz",
        )


def test_a_registration_is_queued_with_all_that_the_worker_needs(client: TestClient, system: System):
    answer = client.post("/api/v1/registrations", json={"label": "My birds!", "path": "birds", "image_size": [64, 64]})
    assert answer.status_code == 202 and answer.json()["kind"] == "register"
    with system.database.read() as session:
        assert registered_datasets.under_way(session, "my_birds") == answer.json()["id"]
    keys = [item["key"] for item in client.get("/api/v1/datasets").json()["items"]]
    assert "my_birds" not in keys  # nothing is half-registered
    again = client.post("/api/v1/registrations", json={"label": "my  BIRDS", "path": "other"})
    assert again.status_code == 409 and "is being registered just now" in again.json()["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"label": "x", "path": "../up"}, "/path"),
        ({"label": "x", "path": "/etc"}, "/path"),
        ({"label": "x", "path": "a/../../b"}, "/path"),
        ({"label": "!!!", "path": "a"}, "/label"),
        ({"label": "x", "path": "a", "image_size": [4, 4]}, "/image_size/0"),
        ({"label": "x", "path": "a", "mask_marks": "both"}, "/mask_marks"),
        ({"label": "x"}, "/path"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, body: dict[str, Any], pointer: str):
    answer = client.post("/api/v1/registrations", json=body)
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == pointer


def test_a_name_that_is_taken_is_refused(client: TestClient):
    answer = client.post("/api/v1/registrations", json={"label": "CIFAR10", "path": "a"})
    assert answer.status_code == 409 and "there is a data set 'cifar10' already" in answer.json()["detail"]


def test_an_archive_is_kept_for_the_worker(client: TestClient, system: System):
    answer = client.post(
        "/api/v1/registrations/archive",
        files={"archive": ("b.zip", io.BytesIO(b"zip" * 10**6))},
        data={"request": json.dumps({"label": "Birds"})},
    )
    assert answer.status_code == 202
    (location,) = system.store.locations("archives")
    assert system.store.read(location) == b"zip" * 10**6
    refused = client.post(
        "/api/v1/registrations/archive",
        files={"archive": ("b.zip", b"zip")},
        data={"request": json.dumps({"label": "Birds"})},
    )
    assert refused.status_code == 409 and system.store.locations("archives") == [location]


def test_what_is_wrong_with_an_archive_is_said_before_it_is_kept(
    client: TestClient, system: System, monkeypatch: pytest.MonkeyPatch
):
    send = {"files": {"archive": ("b.zip", bytes(4000))}}
    answer = client.post("/api/v1/registrations/archive", data={"request": '{"label": "!"}'}, **send)
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/request/label"
    monkeypatch.setattr(body_limit, "MAX_ARCHIVE_BYTES", 1000)
    answer = client.post("/api/v1/registrations/archive", data={"request": '{"label": "b"}'}, **send)
    assert answer.status_code == 413 and "at most 1000 bytes" in answer.json()["detail"]
    answer = client.post("/api/v1/registrations/archive", content=iter([b"chunked"]))
    assert answer.status_code == 411
    assert system.store.locations("archives") == []


def test_an_archive_comes_alone(client: TestClient, system: System):
    files = [("archive", (f"{number}.zip", bytes(2**20 + 1))) for number in range(2)]
    answer = client.post("/api/v1/registrations/archive", files=files, data={"request": '{"label": "b"}'})
    assert answer.status_code == 400 and "1" in answer.json()["detail"]
    assert system.store.locations("archives") == []


def test_a_registered_data_set_is_like_any_other(client: TestClient, system: System, settings: Settings):
    enter(system, settings)
    entry = next(item for item in client.get("/api/v1/catalog").json()["dataset"] if item["key"] == "my_birds")
    assert entry["class_names"] == ["a", "b"] and entry["registered"] and entry["image_size"] == [16, 16]
    told = client.get("/api/v1/datasets/my_birds").json()
    assert told["status"] == "ready" and told["group_counts"] == {"train": [10, 4]}
    body = {"name": "e", "spec": {"dataset": {"key": "my_birds"}, "evaluations": [{"key": "groups"}]}}
    assert client.post("/api/v1/experiments", json=body).status_code == 202
    body["spec"]["train_samples"] = 15
    answer = client.post("/api/v1/experiments", json=body)
    assert answer.status_code == 422 and "expected at most 14" in answer.json()["errors"][0]["detail"]


def test_removing_frees_the_bytes_and_the_name(client: TestClient, system: System, settings: Settings):
    enter(system, settings)
    assert client.delete("/api/v1/datasets/my_birds").json() == {"bytes": 1500}
    assert client.get("/api/v1/datasets/my_birds").status_code == 404
    assert not (settings.data_dir / "prepared" / "my_birds").exists() and system.store.locations("datasets") == []
    assert client.post("/api/v1/registrations", json={"label": "My birds", "path": "b"}).status_code == 202


def test_removing_a_data_set_of_the_catalog_leaves_what_users_placed(
    client: TestClient, work: Any, system: System, settings: Settings
):
    work.prepare()
    placed = settings.data_dir / "MNIST" / "raw" / "train-images-idx3-ubyte"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(b"mine")
    (settings.data_dir / "downloads" / "mnist").mkdir(parents=True)
    (settings.data_dir / "downloads" / "mnist" / "x.gz").write_bytes(bytes(77))
    assert client.delete("/api/v1/datasets/mnist").json() == {"bytes": 77} and placed.exists()
    assert client.delete("/api/v1/datasets/blockmnist").status_code == 200
    assert client.get("/api/v1/datasets/blockmnist").json()["status"] == "absent"
    reconciler.prepare_embedded_data(system)  # what was removed is not made again unasked
    assert client.get("/api/v1/datasets/blockmnist").json()["status"] == "absent"


def test_removing_is_refused_while_work_needs_it(client: TestClient, work: Any, system: System, settings: Settings):
    enter(system, settings)
    assert client.get("/api/v1/datasets/my_birds").status_code == 200  # from here on this process knows it
    (run_id,) = work.launch({"dataset": {"key": "my_birds"}, "evaluations": []})
    answer = client.delete("/api/v1/datasets/my_birds")
    assert answer.status_code == 409 and f"is needed by run {run_id}" in answer.json()["detail"]
    assert (settings.data_dir / "prepared" / "my_birds").exists()
    work.train(run_id)
    work.finish_evaluations(run_id)
    assert client.delete("/api/v1/datasets/my_birds").status_code == 200


def test_removing_is_refused_while_it_is_prepared(client: TestClient):
    client.post("/api/v1/datasets/mnist/prepare")
    answer = client.delete("/api/v1/datasets/mnist")
    assert answer.status_code == 409 and "is needed by its preparation" in answer.json()["detail"]


def test_an_interrupted_removal_is_finished(client: TestClient, system: System, settings: Settings):
    enter(system, settings)
    with system.database.write() as session:
        datasets.mark_removing(session, "my_birds")
    assert client.get("/api/v1/datasets/my_birds").status_code == 404
    reconciler.finish_deletions(system)
    assert not (settings.data_dir / "prepared" / "my_birds").exists()


def test_a_data_set_of_other_parameters_is_told_beside_the_default(client: TestClient, work: Any):
    task = client.post("/api/v1/datasets/mnist/prepare", json={"params": {"check_sums": False}}).json()
    told = client.get("/api/v1/datasets/mnist").json()
    assert told["status"] == "absent"
    assert [(form["params"], form["status"], form["task"]) for form in told["others"]] == [
        ({"data_seed": 0, "check_sums": False}, "preparing", task["id"])
    ]
    work.end(work.claim(task["id"]), Status.CANCELLED)
    assert client.get("/api/v1/datasets/mnist").json()["others"] == []


def test_a_launch_on_what_is_not_prepared_names_the_parameters(client: TestClient):
    body = {"name": "e", "spec": {"dataset": {"key": "mnist", "params": {"check_sums": False}}, "evaluations": []}}
    answer = client.post("/api/v1/experiments", json=body)
    assert answer.status_code == 409 and '"check_sums": false' in answer.json()["detail"]
    assert answer.headers["Link"] == '</api/v1/datasets/mnist/prepare>; rel="prepare"'


@pytest.mark.parametrize(
    ("facts", "class_names"),
    [
        ({**FACTS, "class_names": ["caf\udce9", "b"]}, ["caf\ufffd", "b"]),
        ({**FACTS, "a_later_field": 1}, ["a", "b"]),
        ({"num_classes": 2}, []),
        ({**FACTS, "image_size": "large"}, []),
        ({**FACTS, "mean": None}, []),
        ([], []),
    ],
)
def test_no_stored_row_breaks_a_listing(
    client: TestClient, system: System, settings: Settings, facts: Any, class_names: list[str]
):
    enter(system, settings)
    enter(system, settings, "other")
    with system.database.write() as session:
        session.execute(update(RegisteredRow).where(RegisteredRow.key == "my_birds").values(facts=facts))
    entries = {item["key"]: item for item in client.get("/api/v1/catalog").json()["dataset"]}
    assert entries["my_birds"]["class_names"] == class_names and entries["other"]["class_names"] == ["a", "b"]
    assert ("can't be read" in entries["my_birds"]["summary"]) == (not class_names)
    listed = client.get("/api/v1/datasets")
    assert listed.status_code == 200 and {"my_birds", "other"} <= {item["key"] for item in listed.json()["items"]}
    assert client.get("/api/v1/datasets/my_birds").status_code == 200
    body = {"name": "e", "spec": {"dataset": {"key": "my_birds"}, "evaluations": []}}
    assert client.post("/api/v1/experiments", json=body).status_code in (202, 422)
    assert client.get("/api/v1/runs").status_code == 200


def test_lone_surrogates_in_any_stored_json_break_no_listing(client: TestClient, system: System):
    task = client.post("/api/v1/registrations", json={"label": "My birds", "path": "birds"}).json()
    with system.database.write() as session:
        session.execute(update(TaskRow).values(payload={"key": "x", "label": "caf\udce9"}))
    assert client.get(f"/api/v1/tasks/{task['id']}").status_code == 200
    with system.database.read() as session:
        assert session.get_one(TaskRow, task["id"]).payload["label"] == "caf\ufffd"


def test_the_archive_of_a_killed_registration_is_deleted(client: TestClient, system: System, settings: Settings):
    task_ids = []
    for label in ("One", "Two"):
        answer = client.post(
            "/api/v1/registrations/archive",
            files={"archive": ("b.zip", b"zip")},
            data={"request": json.dumps({"label": label})},
        )
        task_ids.append(answer.json()["id"])
    with system.database.read() as session:
        ended, active = (session.get_one(TaskRow, task_id).payload["upload"] for task_id in task_ids)
    copy = settings.data_dir / f".{ended.rpartition('/')[2]}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(b"zip")
    with system.database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.id == task_ids[0]).values(status=Status.CANCELLED))
    reconciler.delete_ended_archives(system)
    reconciler.delete_leftovers(system)
    assert system.store.locations("archives") == [active] and not copy.exists()


def test_a_preview_is_queued_and_its_answer_can_be_asked_for(client: TestClient, system: System, work: Any):
    answer = client.post("/api/v1/registrations/preview", json={"path": "birds", "columns": {"label": "y"}})
    assert answer.status_code == 202 and answer.json()["kind"] == "preview_images"
    task_id = answer.json()["id"]
    assert client.get(f"/api/v1/registrations/previews/{task_id}").status_code == 404
    claim = work.claim(task_id)
    assert claim.payload["columns"]["label"] == "y" and claim.payload["upload"] is None
    with system.database.write() as session:
        registration_previews.keep(session, task_id, RegistrationPreview(id=task_id, **PREVIEW))
    work.end(claim, Status.SUCCEEDED)
    assert client.get(f"/api/v1/registrations/previews/{task_id}").json() == {"id": task_id, **PREVIEW}


def test_an_archive_of_a_preview_is_registered_without_another_upload(client: TestClient, system: System, work: Any):
    answer = client.post(
        "/api/v1/registrations/preview/archive",
        files={"archive": ("b.zip", b"zip")},
        data={"request": json.dumps({"group_by": []})},
    )
    assert answer.status_code == 202
    task_id = answer.json()["id"]
    registered = client.post("/api/v1/registrations", json={"label": "Birds", "preview": task_id})
    assert registered.status_code == 202
    (location,) = system.store.locations("archives")
    assert work.claim(registered.json()["id"]).payload["upload"] == location
    wrong = client.post("/api/v1/registrations", json={"label": "Others", "preview": registered.json()["id"]})
    assert wrong.status_code == 404 and wrong.json()["errors"][0]["pointer"] == "/preview"
    both = client.post("/api/v1/registrations/preview", json={"path": "birds", "preview": task_id})
    assert both.status_code == 422 and "got path and preview" in both.json()["errors"][0]["detail"]
