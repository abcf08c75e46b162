import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from densitylab.backend.reconciler import System
from densitylab.backend.shared import npz
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import Panel, Status
from densitylab.backend.shared.store import attributions, tasks

ASK = "/api/v1/attributions"


@pytest.fixture
def trained(work: Any) -> list[int]:
    """Return two trained runs of one data set."""
    work.prepare()
    members = work.launch(sweep={"seed": [0, 1]})
    for run_id in members:
        work.train(run_id)
    return members


def body(runs: list[int], /, **changes: Any) -> dict[str, Any]:
    return {"runs": runs, "samples": {"indices": [3, 1]}, **changes}


def finish(system: System, work: Any, task: int) -> None:
    """Compute the maps as the interactive worker does."""
    held = work.claim(task)
    with system.database.write() as session:
        row = attributions.of_task(session, task)
        assert row is not None
        location = f"attributions/{row.id}-{held.token}.npz"
        file = io.BytesIO()
        np.savez(file, attributions=np.zeros(3))
        location = checked_location(location, file.getvalue())
        size = system.store.write(location, file.getvalue())
        panel = Panel(run=1, index=3, label=3, predicted=3, confidence=0.9, target=3)
        attributions.store(
            session, row.id, panels=[panel], limit=0.5, data_hash="d" * 64, location=location, size=size, seconds=0.1
        )
        tasks.finish(session, held, Status.SUCCEEDED)


def test_maps_are_asked_for_made_and_kept(client: TestClient, work: Any, system: System, trained: list[int]):
    asked = client.post(ASK, json=body(trained))
    assert asked.status_code == 202 and asked.headers["location"] == f"{ASK}/{asked.json()['id']}"
    assert asked.json()["status"] == "queued" and asked.json()["params"] == {}
    assert client.post(ASK, json=body(trained)).json()["id"] == asked.json()["id"]  # under way: not twice
    arrays = client.get(f"{asked.headers['location']}/arrays")
    assert arrays.status_code == 409 and "queued" in arrays.json()["detail"]
    finish(system, work, asked.json()["task"])
    done = client.get(asked.headers["location"]).json()
    assert (done["status"], done["limit"], len(done["panels"])) == ("succeeded", 0.5, 1)
    kept = client.post(ASK, json=body(trained, method="gradient", target="label"))
    assert (kept.status_code, kept.json()["id"]) == (200, done["id"])
    downloaded = client.get(f"{ASK}/{done['id']}/arrays")
    assert npz.read_arrays(downloaded.content)["attributions"].shape == (3,)
    assert downloaded.headers["Repr-Digest"].startswith("sha-256=:")
    for other in (
        body(trained, target=3),
        body(trained[:1]),
        body(trained, method="smoothgrad"),
        body(trained, samples={"indices": [1, 3]}),
        body(trained, perturbation={"key": "noise", "params": {}}),
        body(trained, samples={"indices": [3], "split": "train"}),
    ):
        assert client.post(ASK, json=other).json()["id"] != done["id"]


def test_another_checkpoint_is_another_map(client: TestClient, work: Any, trained: list[int]):
    first = client.post(ASK, json=body(trained)).json()
    (run_id,) = work.launch({"seed": 0})
    work.train(run_id)
    assert client.post(ASK, json=body([run_id, trained[1]])).json()["id"] != first["id"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"samples": {"indices": [0, 1, 2, 30]}}, "/samples/indices/3"),
        ({"samples": {"indices": [0, 10], "split": "validation"}}, "/samples/indices/1"),
        ({"samples": {"indices": [-1]}}, "/samples/indices/0"),
        ({"samples": {"indices": [2**70]}}, "/samples/indices/0"),
        ({"samples": {"indices": []}}, "/samples/indices"),
        ({"samples": {"indices": [0] * 10_000}}, "/samples/indices"),
        ({"samples": {"indices": [0], "split": "future"}}, "/samples/split"),
        ({"target": 10}, "/target"),
        ({"target": -1}, "/target"),
        ({"target": "best"}, "/target"),
        ({"method": "nope"}, "/method"),
        ({"method": "smoothgrad", "params": {"sigma": -1}}, "/params/sigma"),
        ({"method": "gradient", "params": {"x": 1}}, "/params/x"),
        ({"perturbation": {"key": "nope"}}, "/perturbation/key"),
        ({"perturbation": {"key": "noise", "params": {"sigma": 7}}}, "/perturbation/params/sigma"),
        ({"perturbation": "noise"}, "/perturbation"),
        ({"samples": {"split": "upload", "indices": [9]}, "target": "predicted"}, "/samples/indices/0"),
        ({"runs": []}, "/runs"),
        ({"runs": [1, 2, 3, 4, 5, 6, 7]}, "/runs"),
        ({"runs": [0]}, "/runs/0"),
        ({"runs": [1, 1]}, "/runs/1"),
    ],
)
@pytest.mark.few(8)
def test_a_wrong_field_is_named(client: TestClient, trained: list[int], changes: dict[str, Any], pointer: str):
    answer = client.post(ASK, json=body(trained, **changes))
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def refusal(answer: Any, status: int) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["errors"][0]["pointer"], answer.json()["detail"]


def test_runs_that_cannot_be_mapped_are_named(client: TestClient, work: Any, trained: list[int]):
    (waiting,) = work.launch({"seed": 5})
    assert refusal(client.post(ASK, json=body([trained[0], waiting])), 409) == (
        "/runs/1",
        f"run {waiting} is queued: its maps can be drawn when it has finished",
    )
    held = work.start(waiting)
    work.checkpoint(held)
    pointer, detail = refusal(client.post(ASK, json=body([waiting])), 409)
    assert pointer == "/runs/0" and f"run {waiting} is still training" in detail
    (empty,) = work.launch({"seed": 6})
    work.end(work.start(empty), Status.FAILED, "x")
    pointer, detail = refusal(client.post(ASK, json=body([empty])), 409)
    assert pointer == "/runs/0" and f"run {empty} has no checkpoint" in detail
    pointer, detail = refusal(client.post(ASK, json=body([trained[0], 99])), 404)
    assert pointer == "/runs/1" and "run 99 does not exist; it may have been deleted" in detail
    work.finish_evaluations(trained[0])
    assert client.delete(f"/api/v1/runs/{trained[0]}").status_code == 200
    pointer, detail = refusal(client.post(ASK, json=body(trained)), 404)
    assert pointer == "/runs/0" and "deleted" in detail


def test_a_cancelled_run_with_a_checkpoint_can_be_mapped(client: TestClient, work: Any, trained: list[int]):
    (run_id,) = work.launch({"seed": 7})
    held = work.start(run_id)
    work.checkpoint(held)
    work.end(held, Status.CANCELLED)
    assert client.post(ASK, json=body([run_id])).status_code == 202


def test_runs_on_different_images_are_refused(client: TestClient, work: Any, trained: list[int]):
    (seeded,) = work.launch({"dataset": {"key": "blockmnist", "params": {"data_seed": 1}}})
    work.train(seeded, data_hash="e" * 64)
    (changed,) = work.launch({"seed": 9})
    work.train(changed, data_hash="f" * 64)
    for other in (seeded, changed):
        pointer, detail = refusal(client.post(ASK, json=body([trained[0], other])), 422)
        assert pointer == "/runs" and "cannot be compared" in detail


def test_data_that_is_not_prepared_is_said(client: TestClient, work: Any):
    (run_id,) = work.launch()
    work.train(run_id)
    pointer, detail = refusal(client.post(ASK, json=body([run_id])), 409)
    assert pointer == "/runs" and "POST /api/v1/datasets/blockmnist/prepare" in detail


def upload(client: TestClient) -> int:
    file = io.BytesIO()
    Image.new("L", (60, 60), 90).save(file, "PNG")
    return client.post(
        "/api/v1/uploads",
        params={"dataset": "blockmnist"},
        content=file.getvalue(),
        headers={"Content-Type": "application/octet-stream"},
    ).json()["id"]


def test_maps_of_an_image_that_somebody_brought(client: TestClient, trained: list[int]):
    samples = {"split": "upload", "indices": [upload(client)]}
    assert client.post(ASK, json=body(trained, samples=samples, target="predicted")).status_code == 202
    pointer, detail = refusal(client.post(ASK, json=body(trained, samples=samples)), 422)
    assert pointer == "/target" and "has no label" in detail


def test_what_maps_would_cost_is_said_and_nothing_is_drawn(
    client: TestClient, work: Any, system: System, trained: list[int]
):
    def cost(**changes: Any) -> Any:
        answer = client.post(f"{ASK}?dry_run=true", json=body(trained, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    told = cost()
    assert (told["kept"], told["passes"], told["basis"]) == (False, 2 * 2 * 2, "calibrated")
    assert client.get(f"{ASK}/1").status_code == 404
    slow = {"method": "integrated_gradients", "params": {"steps": 100}}
    assert cost(**slow)["passes"] == 100 * told["passes"] and cost(**slow)["seconds"] > told["seconds"]
    assert cost(perturbation={"key": "noise"})["passes"] == 2 * 2 * (2 + 2 + 2)
    finish(system, work, client.post(ASK, json=body(trained, **slow)).json()["task"])  # in 0.1 s
    assert cost(**slow) == {"kept": True, "passes": 800, "seconds": pytest.approx(0.1), "basis": "measured"}
    assert cost()["seconds"] == pytest.approx(0.001)
    assert client.post(f"{ASK}?dry_run=true", json=body(trained, method="nope")).status_code == 422


@pytest.mark.parametrize("spoil", [lambda store, at: store.write(at, b"damaged"), lambda store, at: store.delete(at)])
def test_damaged_maps_are_drawn_again(client: TestClient, work: Any, system: System, trained: list[int], spoil: Any):
    asked = client.post(ASK, json=body(trained)).json()
    finish(system, work, asked["task"])
    with system.database.read() as session:
        location = attributions.location(session, asked["id"])
    spoil(system.store, location)
    damaged = client.get(f"{ASK}/{asked['id']}/arrays")
    assert damaged.status_code == 409 and "are damaged, so they are drawn again" in damaged.json()["detail"]
    assert client.get(f"{ASK}/{asked['id']}").json()["status"] == "queued"
    assert system.store.locations("attributions") == []
    finish(system, work, asked["task"])
    assert client.get(f"{ASK}/{asked['id']}/arrays").status_code == 200
    assert len(system.store.locations("attributions")) == 1
