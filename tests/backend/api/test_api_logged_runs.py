"""Runs that are trained elsewhere, through the API alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from sqlalchemy import update

from densitylab.backend.ops import restored_rows
from densitylab.backend.reconciler import System, fail_silent_runs, kill_overdue_cancels, reclaim_expired_leases
from densitylab.backend.shared.contracts import MAX_CURVES_PER_RUN, MAX_POINTS_PER_REQUEST
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import events
from densitylab.backend.shared.tables import TaskRow

RUNS = "/api/v1/runs"


def made(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(RUNS, json={"dataset": {"key": "blockmnist"}, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{RUNS}/{answer.json()['id']}"
    return answer.json()


def post(client: TestClient, run: int, *points: tuple[Any, ...], status: int = 200, **more: Any) -> dict[str, Any]:
    """Send points (name, step, value)."""
    items = [dict(zip(("name", "step", "value", "epoch", "seconds"), point, strict=False)) for point in points]
    answer = client.post(f"{RUNS}/{run}/metrics", json={"points": items, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def finish(client: TestClient, run: int, code: int = 200, **fields: Any) -> dict[str, Any]:
    answer = client.post(f"{RUNS}/{run}/finish", json=fields)
    assert answer.status_code == code, answer.text
    return answer.json()


def curve(client: TestClient, run: int, name: str) -> list[tuple[int, float]]:
    (series,) = client.get(f"{RUNS}/{run}/metrics", params={"names": name}).json()["items"]
    return [(point["step"], point["value"]) for point in series["points"]]


def test_the_request_of_its_experiment_is_as_declared(client: TestClient):
    experiment = client.get(f"/api/v1/experiments/{made(client, name='mine')['experiment']}").json()
    assert experiment["request"] == {"dataset": {"key": "blockmnist"}, "name": "mine"}
    document = client.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Experiment", "components": document["components"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(experiment)] == []


def silence(system: System, seconds: float) -> None:
    with system.database.write() as session:
        session.execute(update(TaskRow).values(lease_until=TaskRow.lease_until - seconds))


def test_a_run_from_its_first_point_to_its_end(client: TestClient, system: System):
    run = made(
        client,
        name="mine",
        model={"key": "cnn"},
        regularizer={"key": "marginal_density"},
        lambda_=0.5,
        epochs=4,
        params={"lr": 0.1, "optimizer": "AdamW", "warm": None, "flip": True},
        tags=["own"],
    )
    assert (run["status"], run["origin"], run["lambda_"]) == ("running", "logged", 0.5)
    assert (run["name"], run["notes"]) == ("mine", "mine")
    assert run["spec"]["model"]["params"]["width"] and run["tags"] == ["own"]
    assert run["provenance"]["params"] == {"lr": 0.1, "optimizer": "AdamW", "warm": None, "flip": True}
    assert client.get(f"/api/v1/experiments/{run['experiment']}").json()["name"] == "mine"
    received = post(client, run["id"], ("loss", 10, 2.0, 1.0, 5.0), ("val/acc.ü", 10, 0.25, 1.0))
    assert received == {"points": 2, "status": "running", "cancel_requested": False}
    present = client.get(f"{RUNS}/{run['id']}").json()
    assert present["progress"] == 0.25 and present["eta_seconds"] >= 0 and present["stage"] == "epoch 1"
    assert present["metrics"] == {"loss": 2.0, "val/acc.ü": 0.25}
    post(client, run["id"], ("loss", 20, 1.0, 2.0))
    ended = finish(client, run["id"])
    assert (ended["status"], ended["progress"], ended["measured"]) == ("succeeded", 1.0, True)
    assert finish(client, run["id"]) == ended
    assert curve(client, run["id"], "loss") == [(10, 2.0), (20, 1.0)]
    (point, _) = client.get(f"{RUNS}/{run['id']}/metrics").json()["items"][0]["points"]
    assert point == {"step": 10, "epoch": 1.0, "value": 2.0, "seconds": 5.0}
    with system.database.read() as session:
        types = [events.type_of(row.kind, row.status) for row in events.since(session, 0)]
    assert types == ["run.running", "run.succeeded", "run.measured", "experiment.finished"]
    for query in (
        {"origin": "logged"},
        {"where": "metrics.val/acc.ü>=0.25"},
        {"sort": "-metrics.val/acc.ü"},
        {"name": "mine"},
        {"q": "mine"},
        {"tag": "own"},
    ):
        assert [item["id"] for item in client.get(RUNS, params=query).json()["items"]] == [run["id"]]
    assert "provenance.params.optimizer" in client.get(f"{RUNS}.csv").text


def test_runs_of_one_experiment_and_of_a_network_that_is_not_of_the_catalog(client: TestClient):
    first = made(client, name="a")
    second = made(client, name="b", experiment=first["experiment"], notes="other words")
    assert (second["experiment"], second["notes"]) == (first["experiment"], "other words")
    assert (first["name"], second["name"]) == ("a", "b")
    assert made(client, name="x" * 99 + " and more")["name"] == "x" * 99 and made(client)["name"] is None
    assert (first["spec"]["model"]["key"], first["lambda_"]) == ("unknown", None)
    assert client.get(f"/api/v1/experiments/{first['experiment']}").json()["runs"] == [first["id"], second["id"]]
    finish(client, first["id"])
    refused = client.post(f"{RUNS}/{first['id']}/evaluations", json={"key": "leakage"})
    assert refused.status_code in (409, 422)


def test_the_same_key_makes_one_run(client: TestClient):
    body = {"dataset": {"key": "blockmnist"}}
    answers = [client.post(RUNS, json=body, headers={"Idempotency-Key": "k"}).json()["id"] for _ in range(2)]
    assert answers[0] == answers[1] and len(client.get(RUNS).json()["items"]) == 1


def test_points_again_out_of_order_and_twice_in_a_request(client: TestClient):
    run = made(client, steps=100)["id"]
    post(client, run, ("loss", 50, 0.5), ("loss", 10, 0.1))
    post(client, run, ("loss", 10, 0.1), ("loss", 20, 7.0), ("loss", 20, 0.2))
    assert curve(client, run, "loss") == [(10, 0.1), (20, 0.2), (50, 0.5)]
    present = client.get(f"{RUNS}/{run}").json()
    assert (present["metrics"], present["progress"], present["stage"]) == ({"loss": 0.5}, 0.5, "step 50")
    post(client, run, ("loss", 50, 0.75))
    assert client.get(f"{RUNS}/{run}").json()["metrics"] == {"loss": 0.75}
    assert post(client, run) == {"points": 0, "status": "running", "cancel_requested": False}


def test_two_loops_that_log_the_same_points_at_once_store_each_once(client: TestClient):
    run = made(client)["id"]

    def batch(number: int) -> int:
        points = [(name, step, number) for name in "ab" for step in range(200)]
        return post(client, run, *(points if number % 2 else reversed(points)))["points"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(batch, range(12))) == [400] * 12
    assert [step for step, _ in curve(client, run, "a")] == list(range(200))


def test_names_are_composed(client: TestClient):
    run = made(client)["id"]
    post(client, run, ("u\u0308", 1, 1.0), ("ü", 1, 2.0))
    assert curve(client, run, "ü") == [(1, 2.0)]
    assert "at most 64 characters" in post(client, run, ("\u0958" * 64, 1, 1.0), status=422)["errors"][0]["detail"]


def test_values_that_are_not_finite_flag_the_run(client: TestClient):
    run = made(client)["id"]
    assert post(client, run, ("loss", 1, 1.0), ("loss", 2, None), ("acc", 2, None))["points"] == 1
    post(client, run, ("loss", 3, None))
    present = client.get(f"{RUNS}/{run}").json()
    (flag,) = present["flags"]
    assert flag["text"] == "loss was not a finite number at step 2: the training may have diverged."
    assert present["metrics"] == {"loss": 1.0} and curve(client, run, "loss") == [(1, 1.0)]
    lines = [line["text"] for line in client.get(f"{RUNS}/{run}/log").json()["items"]]
    assert lines == [
        "loss was not a finite number at step 2, and 1 more values",
        "loss was not a finite number at step 3",
    ]


@pytest.mark.parametrize(
    ("point", "field", "sentence"),
    [
        ({"step": -1}, "step", "expected a number of at least 0; got -1"),
        ({"step": 1.5}, "step", "expected a whole number; got 1.5"),
        ({"step": 2**31}, "step", "expected a number of at most 2147483647"),
        ({"name": "a b"}, "name", "expected letters, digits and _ . / @ : + -"),
        ({"name": "/up"}, "name", "and a letter, a digit or _ first"),
        ({"name": "x" * 65}, "name", "expected at most 64 characters"),
        ({"name": ""}, "name", "expected letters, digits"),
        ({"value": "high"}, "value", 'expected a number; got "high"'),
        ({"value": True}, "value", "expected a number; got true"),
        ({"epoch": -0.5}, "epoch", "expected a number of at least 0"),
        ({"seconds": 1e10}, "seconds", "expected a number of at most"),
        ({"loss": 1}, "loss", "there is no field of this name"),
    ],
)
def test_a_wrong_point_is_named_and_nothing_is_stored(client: TestClient, point: dict, field: str, sentence: str):
    run = made(client)["id"]
    good = {"name": "loss", "step": 1, "value": 1.0}
    answer = client.post(f"{RUNS}/{run}/metrics", json={"points": [good, good | point]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == f"/points/1/{field}" and sentence in error["detail"]
    assert client.get(f"{RUNS}/{run}/metrics").json()["items"] == []


def test_bounds_of_requests_and_of_curves(client: TestClient):
    run = made(client)["id"]
    many = [("loss", step, 0.5) for step in range(MAX_POINTS_PER_REQUEST)]
    assert post(client, run, *many)["points"] == MAX_POINTS_PER_REQUEST
    assert "values at most" in post(client, run, *many, ("loss", 0, 1.0), status=422)["errors"][0]["detail"]
    post(client, run, *((f"curve_{number}", 1, 0.0) for number in range(MAX_CURVES_PER_RUN - 1)))
    refused = post(client, run, ("one_more", 1, 0.0), status=422)
    assert refused["errors"][0]["detail"].startswith(f"expected at most {MAX_CURVES_PER_RUN} names of curves")
    huge = client.post(f"{RUNS}/{run}/metrics", content=b" " * 10 * 2**20, headers={"Content-Type": "application/json"})
    assert huge.status_code == 413


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"dataset": {"key": "mnits"}}, "/dataset/key"),
        ({"dataset": {"key": "blockmnist", "params": {"x": 1}}}, "/dataset/params/x"),
        ({"model": {"key": "resnet"}}, "/model/key"),
        ({"lambda_": -1}, "/lambda_"),
        ({"experiment": 99}, "/experiment"),
        ({"params": {"a": [1]}}, "/params/a"),
        ({"params": {"a": {"b": 1}}}, "/params/a"),
        ({"epochs": 0}, "/epochs"),
        ({"name": " "}, "/name"),
        ({"seed": 1}, "/seed"),
    ],
)
def test_a_wrong_run_is_named_by_field_and_not_made(client: TestClient, fields: dict, pointer: str):
    answer = client.post(RUNS, json={"dataset": {"key": "blockmnist"}, **fields})
    assert answer.status_code in (404, 422)
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    assert client.get(RUNS).json()["items"] == [] and client.get("/api/v1/experiments").json()["items"] == []


def test_an_ended_run_takes_no_points_and_can_be_logged_to_again(client: TestClient):
    run = made(client)["id"]
    failed = finish(client, run, status="failed", error="CUDA went away")
    assert (failed["status"], failed["error"]) == ("failed", "CUDA went away")
    assert f"run {run} has ended (failed): retry it" in post(client, run, ("loss", 1, 1.0), status=409)["detail"]
    finish(client, run, 409, status="succeeded")
    assert finish(client, run, 422, status="cancelled", error="why")["errors"][0]["pointer"] == "/error"
    again = client.post(f"{RUNS}/{run}/retry")
    assert (again.status_code, again.json()["status"], again.json()["error"]) == (202, "running", None)
    post(client, run, ("loss", 1, 1.0))
    assert finish(client, run)["status"] == "succeeded"


def test_a_trained_run_takes_no_points(client: TestClient, work: Any):
    (run,) = work.launch()
    assert "was not made for a training loop" in post(client, run, ("loss", 1, 1.0), status=409)["detail"]
    finish(client, run, 409)
    post(client, 99, ("loss", 1, 1.0), status=404)
    finish(client, 99, 404)


def test_a_cancel_reaches_the_loop_and_otherwise_ends_the_run(client: TestClient, system: System):
    polite, deaf = made(client)["id"], made(client)["id"]
    for run in (polite, deaf):
        assert client.post(f"{RUNS}/{run}/cancel").status_code == 202
    assert post(client, polite, ("loss", 1, 1.0))["cancel_requested"] is True
    assert finish(client, polite, status="cancelled")["status"] == "cancelled"
    with system.database.write() as session:
        session.execute(update(TaskRow).values(cancel_requested_at=now(session) - 60))
    kill_overdue_cancels(system)
    assert client.get(f"{RUNS}/{deaf}").json()["status"] == "cancelled"
    assert client.delete(f"{RUNS}/{deaf}").status_code == 200


def test_a_silent_run_fails_after_a_day(client: TestClient, system: System):
    run = made(client)["id"]
    silence(system, 23 * 3600)
    reclaim_expired_leases(system)
    fail_silent_runs(system)
    assert client.get(f"{RUNS}/{run}").json()["status"] == "running"
    post(client, run)
    silence(system, 23 * 3600)
    fail_silent_runs(system)
    assert client.get(f"{RUNS}/{run}").json()["status"] == "running"
    silence(system, 2 * 3600)
    fail_silent_runs(system)
    ended = client.get(f"{RUNS}/{run}").json()
    assert ended["status"] == "failed" and ended["error"].startswith("Nothing was heard of the training loop")
    client.post(f"{RUNS}/{run}/retry")
    fail_silent_runs(system)
    assert post(client, run, ("loss", 1, 1.0))["status"] == "running"
    silence(system, 25 * 3600)
    fail_silent_runs(system)
    assert post(client, run, ("loss", 2, 1.0))["status"] == "running", "heard again"
    assert client.get(f"{RUNS}/{run}").json()["error"] is None
    silence(system, 25 * 3600)
    fail_silent_runs(system)
    assert finish(client, run)["status"] == "succeeded"


def test_a_restored_run_goes_on(client: TestClient, system: System):
    run = made(client)["id"]
    with system.database.write() as session:
        restored_rows.check(session)
        restored_rows.queue_again(session)
    assert post(client, run, ("loss", 1, 1.0))["status"] == "running"
