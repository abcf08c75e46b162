"""Mean penalties through the API: requested, answered, and refused field by field."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import PenaltyComparison, QueueName, Status, TaskKind
from densitylab.backend.shared.contracts.work import Priority, queue_of
from densitylab.backend.shared.store import penalties, tasks
from densitylab.backend.shared.tables import TaskRow

ASK = "/api/v1/penalties"


def smoothing(**params: Any) -> dict[str, Any]:
    return {"regularizer": {"key": "marginal_density", "params": params}}


def found(task_id: int) -> PenaltyComparison:
    return PenaltyComparison(
        id=task_id,
        regularizer="marginal_density",
        params={"p_norm": "1"},
        reference={"p_norm": "2"},
        penalty=4.0,
        reference_penalty=1.0,
        ratio=0.25,
        lambda_=2.0,
        suggested_lambda=0.5,
        images=256,
        seeds=[0],
        run=None,
        cautions=["λ is not comparable."],
    )


def test_a_comparison_is_queued_and_answered_once_it_has_succeeded(client: TestClient, work: Any, system: System):
    work.prepare()
    body = {"spec": smoothing(p_norm="1", h=0.1), "lambda_": 2.0, "seeds": [4, 5]}
    asked = client.post(ASK, json=body)
    assert asked.status_code == 202 and asked.json()["kind"] == "penalties", asked.text
    task_id = asked.json()["id"]
    assert asked.headers["location"] == f"/api/v1/tasks/{task_id}"
    assert queue_of(TaskKind.PENALTIES, Priority.NORMAL) is QueueName.INTERACTIVE
    with system.database.read() as session:
        payload = session.get_one(TaskRow, task_id).payload
    assert payload["spec"]["regularizer"]["params"]["p_norm"] == "1" and payload["seeds"] == [4, 5]
    # norm and power are the defaults, what does not rescale the penalty is as in the spec
    assert (payload["reference"]["p_norm"], payload["reference"]["power"], payload["reference"]["h"]) == ("2", 2, 0.1)
    assert client.get(f"{ASK}/{task_id}").status_code == 404
    held = work.claim(task_id)
    with system.database.write() as session:
        penalties.keep(session, task_id, found(task_id))
        tasks.finish(session, held, Status.SUCCEEDED)
    assert client.get(f"{ASK}/{task_id}").json() == found(task_id).model_dump()


def test_lambda_may_belong_to_other_reference_parameters(client: TestClient, work: Any, system: System):
    work.prepare()
    asked = client.post(ASK, json={"spec": smoothing(), "lambda_": 1, "reference": {"p_norm": 1.5}})
    with system.database.read() as session:
        payload = session.get_one(TaskRow, asked.json()["id"]).payload
    assert payload["reference"]["p_norm"] == "1.5" and payload["seeds"] == [0]


def test_weights_of_a_trained_run_of_the_same_network(client: TestClient, work: Any, system: System):
    work.prepare()
    (run_id,) = work.launch()
    body = {"lambda_": 1, "run": run_id}
    early = client.post(ASK, json=body)
    assert early.status_code == 409 and f"run {run_id} is queued" in early.json()["detail"]
    work.train(run_id)
    asked = client.post(ASK, json=body)
    assert asked.status_code == 202, asked.text
    with system.database.read() as session:
        assert session.get_one(TaskRow, asked.json()["id"]).payload["run"] == run_id
    other = client.post(ASK, json={**body, "spec": {"model": {"key": "cnn"}}})
    assert other.status_code == 422 and other.json()["errors"][0]["pointer"] == "/run"
    assert f"run {run_id} is of mlp on blockmnist" in other.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("changes", "status", "pointer", "words"),
    [
        ({"lambda_": -1.0}, 422, "/lambda_", "above 0"),
        ({"lambda_": 0}, 422, "/lambda_", "above 0"),
        ({"spec": {"regularizer": {"key": "none"}}}, 422, "/spec/regularizer/key", "no penalty"),
        ({"spec": smoothing(p_norm="0.5")}, 422, "/spec/regularizer/params/p_norm", "at least 1"),
        ({"reference": {"p_norm": "0.5"}}, 422, "/reference/p_norm", "at least 1"),
        ({"reference": {"norm": "2"}}, 422, "/reference/norm", "p_norm"),
        ({"spec": {"dataset": {"key": "cifar10"}}}, 409, "/spec/dataset/key", "/datasets/cifar10/prepare"),
        ({"run": 999}, 404, "/run", "run 999"),
        ({"images": 257}, 422, "/images", "256"),
        ({"seeds": []}, 422, "/seeds", "1"),
    ],
)
@pytest.mark.few(5)
def test_a_wrong_field_is_named(
    client: TestClient, work: Any, changes: dict[str, Any], status: int, pointer: str, words: str
):
    work.prepare()
    answer = client.post(ASK, json={"lambda_": 1.0, **changes})
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and words in error["detail"]
