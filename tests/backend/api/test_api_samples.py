"""Browse test images: filters, order, and the error if an evaluation is missing."""

import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from densitylab.backend.shared.contracts import EvaluationSpec, Status, Value
from densitylab.backend.shared.store import evaluations, run_artifacts, tasks

SAMPLES = "/api/v1/samples"


def keep(work: Any, run_id: int, name: str, values: dict[str, bool], **arrays: list[float]) -> None:
    """Store values per image as an evaluation does, each with whether higher is better."""
    file = io.BytesIO()
    np.savez(file, **{key: np.array(array) for key, array in arrays.items()})
    location = f"runs/{run_id}/evaluations/{name}.npz"
    size = work.system.store.write(location, file.getvalue())
    with work.system.database.write() as session:
        found = evaluations.named(session, run_id, name)
        evaluation_id = found.id if found else evaluations.create(session, run_id, EvaluationSpec(key=name, name=name))
        run_artifacts.put_artifact(
            session, run_id, f"{name}.npz", location=location, size=size, media_type="application/zip"
        )
        task = next(item.task for item in evaluations.of_run(session, run_id) if item.id == evaluation_id)
    held = work.claim(task)
    with work.system.database.write() as session:
        evaluations.store(
            session,
            evaluation_id,
            curves={},
            flags=[],
            seconds=0.1,
            provenance={},
            values={value: Value(value=0.5, n=30, higher_is_better=higher) for value, higher in values.items()},
        )
        tasks.finish(session, held, Status.SUCCEEDED)


@pytest.fixture
def pair(work: Any) -> list[int]:
    """Two trained runs; image i has label i % 10. The first is wrong on 3, the second on 3 (alike) and 14."""
    work.prepare()
    members = work.launch({"evaluations": []}, sweep={"seed": [0, 1]})
    right = [index % 10 for index in range(30)]
    for run_id, wrong in zip(members, ({3: 7}, {3: 7, 14: 0}), strict=True):
        work.train(run_id)
        keep(
            work,
            run_id,
            "accuracy",
            {"accuracy": True},
            predicted=[wrong.get(index, label) for index, label in enumerate(right)],
        )
    return members


def indices(client: TestClient, members: list[int], **query: Any) -> list[int]:
    answer = client.get(SAMPLES, params={"run": members, **query})
    assert answer.status_code == 200, answer.text
    return [item["index"] for item in answer.json()["items"]]


def test_by_class_and_by_mistake(client: TestClient, pair: list[int]):
    assert indices(client, pair) == list(range(30))
    assert indices(client, pair, label=4) == [4, 14, 24]
    assert indices(client, pair, only="wrong_any") == [3, 14]
    assert indices(client, pair, only="wrong_all") == [3]
    assert indices(client, pair, only="disagree") == [14]
    assert indices(client, pair, only="wrong_any", label=4) == [14]
    assert indices(client, pair[:1], only="wrong_any") == [3]
    shown = client.get(SAMPLES, params={"run": pair, "only": "disagree"}).json()["items"][0]
    assert shown == {"index": 14, "label": 4, "group": None, "predicted": [4, 0], "value": None}


def test_the_worst_of_a_measure_come_first(client: TestClient, work: Any, pair: list[int]):
    for run_id in pair:
        keep(work, run_id, "leakage", {"l2": False}, l2=[*range(20), *[0.0] * 9, float("nan")])
        keep(work, run_id, "sparse", {"cosine": True}, cosine=[0.9, 0.1, 0.5])  # of the first images alone
    assert indices(client, pair, worst="leakage.l2")[:3] == [19, 18, 17]
    assert 29 not in indices(client, pair, worst="leakage.l2")  # not defined there
    assert indices(client, pair, worst="sparse.cosine") == [1, 2, 0]
    found = client.get(SAMPLES, params={"run": pair, "worst": "sparse.cosine"}).json()
    assert (found["total"], found["items"][0]["value"]) == (3, 0.1)
    assert set(found["orders"]) == {"leakage.l2", "sparse.cosine"}


def test_values_belong_to_the_images_of_their_indices(client: TestClient, work: Any, pair: list[int]):
    keep(work, pair[0], "sparse", {"cosine": True}, cosine=[0.9, 0.1, 0.5], indices=[4, 11, 25])
    assert indices(client, pair[:1], worst="sparse.cosine") == [11, 25, 4]
    keep(work, pair[1], "sparse", {"cosine": True}, cosine=[0.2, 0.8], indices=[4, 12])
    assert indices(client, pair, worst="sparse.cosine") == [4]  # the only image of both


def test_pages_go_on_where_they_ended(client: TestClient, pair: list[int]):
    first = client.get(SAMPLES, params={"run": pair, "limit": 20}).json()
    second = client.get(SAMPLES, params={"run": pair, "limit": 20, "cursor": first["next_cursor"]}).json()
    assert [item["index"] for item in first["items"] + second["items"]] == list(range(30))
    assert (first["total"], second["next_cursor"]) == (30, None)


def test_a_measure_that_was_not_taken_is_said(client: TestClient, work: Any, pair: list[int]):
    answer = client.get(SAMPLES, params={"run": pair, "worst": "stability.cosine"})
    assert answer.status_code == 409 and "run that evaluation first" in answer.json()["detail"]
    keep(work, pair[0], "leakage", {"l2": False}, odd=[1.0] * 30, l2=[1.0] * 30)
    keep(work, pair[1], "leakage", {"l2": False}, odd=[1.0] * 30, l2=[1.0] * 30)
    answer = client.get(SAMPLES, params={"run": pair, "worst": "leakage.odd"})
    assert answer.status_code == 422 and "leakage.l2" in answer.json()["detail"]
    (bare,) = work.launch({"evaluations": []})
    work.train(bare)
    assert indices(client, [bare], label=4) == [4, 14, 24]  # needs no prediction
    assert client.get(SAMPLES, params={"run": [bare], "only": "wrong_all"}).status_code == 409


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ({"run": []}, 422, "/query/run"),
        ({"run": [999]}, 404, "/query/run/0"),
        ({"group": 1}, 422, "/query/group"),
        ({"only": "x"}, 422, "/query/only"),
        ({"worst": "x"}, 422, "/query/worst"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, pair: list[int], query: Any, status: int, pointer: str):
    answer = client.get(SAMPLES, params={"run": pair, **query})
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_damaged_images_ask_for_a_preparation(client: TestClient, work: Any, pair: list[int]):
    work.system.store.write("datasets/blockmnist/x/samples.npz", b"damaged")
    browsed = client.get(SAMPLES, params={"run": pair})
    assert browsed.status_code == 409 and "are damaged: prepare it again" in browsed.json()["detail"]
    listed = client.get("/api/v1/datasets/blockmnist/samples")
    assert listed.status_code == 409 and listed.headers["Link"].endswith('rel="prepare"')


def test_damaged_predictions_are_left_out(client: TestClient, work: Any, pair: list[int]):
    work.system.store.write(f"runs/{pair[0]}/evaluations/accuracy.npz", b"damaged")
    answer = client.get(SAMPLES, params={"run": pair}).json()
    assert answer["items"][0]["predicted"] == [None, 0]
    refused = client.get(SAMPLES, params={"run": pair, "only": "wrong_any"})
    assert refused.status_code == 409 and "run that evaluation first" in refused.json()["detail"]
