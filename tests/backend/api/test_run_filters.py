"""Filters of runs: several values, ranges, conditions, chosen fields and counts."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.api import cursors
from densitylab.backend.shared.contracts import Run


@pytest.fixture
def listed(client: TestClient) -> Any:
    """Return the ids of the runs that match a query, oldest first; the CSV has the same."""

    def ids(**query: Any) -> list[int]:
        answer = client.get("/api/v1/runs", params={"sort": "id", **query})
        assert answer.status_code == 200, answer.text
        rows = client.get("/api/v1/runs.csv", params={"sort": "id", **query}).text.splitlines()[1:]
        found = [run["id"] for run in answer.json()["items"]]
        assert [int(row.split(",")[0]) for row in rows] == found
        return found

    return ids


def refusal(client: TestClient, **query: Any) -> dict[str, str]:
    answer = client.get("/api/v1/runs", params=query)
    assert answer.status_code == 422, answer.text
    return {item["pointer"]: item["detail"] for item in answer.json()["errors"]}


def test_of_a_repeated_filter_one_value_is_enough(client: TestClient, work: Any, listed: Any):
    first, second, third = work.launch(sweep={"model.key": ["mlp", "cnn", "vit"]})
    (fourth,) = work.launch({"regularizer": {"key": "none"}, "seed": 7})
    work.train(first)
    work.end(work.start(second), "failed", "it broke")
    client.patch(f"/api/v1/runs/{third}", json={"tags": ["good"]})
    client.patch(f"/api/v1/runs/{fourth}", json={"tags": ["bad"]})
    assert listed(status=["failed", "succeeded"]) == [first, second]
    assert listed(model=["cnn", "vit"]) == [second, third]
    assert listed(model=["cnn", "vit"], status=["queued", "failed"], tag=["good", "bad"]) == [third]
    assert listed(tag=["good", "bad"]) == [third, fourth]
    assert listed(experiment=[1, 2], regularizer=["none", "jacobian"]) == [fourth]
    assert listed(dataset=["mnist", "blockmnist"], owner=["local", "ada"]) == [first, second, third, fourth]
    assert listed(owner=["ada", "eve"]) == []
    assert listed(seed=[7, 8]) == [fourth] and listed(seed=[0, 7], model="mlp") == [first, fourth]
    client.patch(f"/api/v1/runs/{first}", json={"archived": True})
    assert listed(archived=["true", "false"]) == [first, second, third, fourth]
    assert listed(ids=[first, fourth, 999]) == [first, fourth]
    assert listed(ids=[first, fourth], archived="false") == [fourth]
    experiments = client.get("/api/v1/experiments", params={"owner": ["ada", "local"]}).json()["items"]
    assert [item["id"] for item in experiments] == [2, 1]


def test_every_filter_takes_as_many_values_as_it_declares(work: Any, listed: Any):
    (run,) = work.launch({"seed": 499})
    many: dict[str, Any] = {"tag": [f"t{number}" for number in range(50)], "where": ["spec.seed>=0"] * 20}
    assert listed(seed=list(range(500)), where=many["where"], archived=["true", "false"]) == [run]
    assert listed(seed=list(range(500)), ids=list(range(1, 501)), owner=["local"] * 50, **many) == []


def test_pages_of_several_states_show_every_run_once(client: TestClient, work: Any):
    members = work.launch(sweep={"seed": list(range(5))})
    work.train(members[1])
    for sort in ("id", "-id", "status", "lambda_", "-results.accuracy.accuracy"):
        seen, query = [], {"limit": 2, "sort": sort, "status": ["queued", "succeeded"]}
        while True:
            page = client.get("/api/v1/runs", params=query).json()
            seen += [run["id"] for run in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert sorted(seen) == members, sort


def test_ranges(client: TestClient, work: Any, listed: Any):
    none, low, high = work.launch(sweep={"lambda_": [0, 0.1, 1]})
    assert listed(lambda_min=0.1) == [low, high]
    assert listed(lambda_max="1e-1") == [none, low]
    assert listed(lambda_min=0.05, lambda_max=0.5) == [low]
    created = client.get(f"/api/v1/runs/{none}").json()["created_at"]
    later = (datetime.fromisoformat(created) + timedelta(hours=1)).isoformat()
    assert listed(created_after=later) == [] and listed(created_before=later) == [none, low, high]
    assert listed(created_after=created) == [none, low, high]
    assert listed(created_after="2020-01-01", created_before="2020-01-02T00:00:00") == []
    assert listed(created_after="2020-01-01T00:00:00-05:00", created_before="9999-12-31T23:59:59Z") == [none, low, high]
    assert listed(created_before="0001-01-01T00:00:00+14:00") == []


def test_conditions_on_results_and_curves(client: TestClient, work: Any, listed: Any):
    members = work.launch(sweep={"seed": [0, 1, 2, 3]})
    for run_id, accuracy in zip(members, (0.5, 0.9, 0.95), strict=False):
        work.train(run_id)
        work.finish_evaluations(run_id, accuracy)
    assert listed(where="results.accuracy.accuracy>=0.9") == members[1:3]
    assert listed(where=["results.accuracy.accuracy>0.5", "results.accuracy.accuracy < 95e-2"]) == [members[1]]
    assert listed(where="results.accuracy.accuracy=0.5") == [members[0]]
    assert listed(where="results.accuracy.accuracy!=0.5") == members[1:3]
    assert listed(where="results.nothing.here<1") == [] and listed(where="metrics.loss<=1e308") == []
    assert listed(where="results.accuracy.accuracy>=0.9", status="queued") == []


def test_conditions_on_the_spec(work: Any, listed: Any):
    exact, estimated = work.launch(
        {"regularizer": {"key": "marginal_density"}, "epochs": 3},
        sweep={"regularizer.params.estimator": ["double_backward", "finite_difference"]},
    )
    (other,) = work.launch({"regularizer": {"key": "none"}, "epochs": 30, "compile": True, "train_samples": 100})
    assert listed(where="spec.regularizer.params.estimator=double_backward") == [exact]
    assert listed(where="spec.regularizer.params.estimator!=double_backward") == [estimated]
    assert listed(where="spec.regularizer.params.estimator=null") == [other]
    assert listed(where="spec.regularizer.params.estimator!=null") == [exact, estimated]
    assert listed(where="spec.regularizer.params.estimator>3") == []  # a text has no order
    assert listed(where="spec.regularizer.key==none") == [other]
    assert listed(where="spec.epochs>=10") == [other] and listed(where="spec.epochs=3.0") == [exact, estimated]
    assert listed(where="spec.compile=true") == [other] and listed(where="spec.compile!=true") == [exact, estimated]
    assert listed(where="spec.train_samples=null") == [exact, estimated]
    assert listed(where="spec.train_samples<=100") == [other]
    assert listed(where="spec.early_stop=null") == [exact, estimated, other]
    assert listed(where="spec.early_stop.patience>0") == []
    assert listed(where=["spec.epochs<10", "spec.regularizer.params.estimator=double_backward"]) == [exact]
    assert listed(where="spec.device='; DROP TABLE runs; --") == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("accuracy", "expected NAME, one of >= <= > < = != and a value, as in spec.epochs>=10"),
        ("spec.epochs>=", "expected NAME, one of >= <= > < = != and a value, as in spec.epochs>=10"),
        ("result.accuracy.accuracy>1", "begins with results., metrics. or spec.; got result; did you mean results?"),
        ("results.accuracy>1", "expected results.EVALUATION.VALUE, such as results.accuracy.accuracy; got results.acc"),
        ("metrics.loss=low", "expected a number after metrics.loss=; got low"),
        ("metrics.loss>nan", "expected a number after metrics.loss>; got nan"),
        ("metrics.loss>1_0", "expected a number after metrics.loss>; got 1_0"),
        ("metrics.loss>1e999", "expected a finite number; got 1e999"),
        ("metrics.loss>1e-999", "1e-999 rounds to 0; write 0, or a larger number"),
        ("spec.epoch>1", "spec has no field epoch; did you mean epochs?"),
        ("spec.regularizer.param.x=1", "spec.regularizer has no field param; did you mean params?"),
        ("spec.regularizer=none", "expected a field of spec.regularizer, such as spec.regularizer.key"),
        ("spec.regularizer.params=1", "expected the name of a parameter, as in spec.regularizer.params.NAME"),
        ("spec.evaluations=1", "spec.evaluations is a list, which cannot be compared"),
        ("spec.epochs.x=1", "spec.epochs is one value and has no field x"),
        ("spec.device>cpu", "expected a number after spec.device>; got cpu"),
        ("spec..x=1", "expected spec.NAME, such as spec.epochs or spec.regularizer.key; got spec..x"),
    ],
)
def test_a_wrong_condition_is_named(client: TestClient, text: str, sentence: str):
    told = refusal(client, where=["spec.epochs>0", text])
    assert list(told) == ["/query/where/1"] and sentence in told["/query/where/1"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"status": ["failed", "done"]}, "/query/status/1"),
        ({"ids": ["1", "0"]}, "/query/ids/1"),
        ({"seed": "x"}, "/query/seed/0"),
        ({"lambda_min": "1e-400"}, "/query/lambda_min"),
        ({"lambda_max": "nan"}, "/query/lambda_max"),
        ({"created_after": "yesterday"}, "/query/created_after"),
        ({"created_before": "9" * 400}, "/query/created_before"),
        ({"where": "a=\x00"}, "/query/where/0"),
        ({"fields": ["id", "statuss"]}, "/query/fields/1"),
        ({"total": "many"}, "/query/total"),
        ({"archived": "perhaps"}, "/query/archived/0"),
    ],
)
def test_a_wrong_value_is_named(client: TestClient, query: dict[str, Any], pointer: str):
    assert list(refusal(client, **query)) == [pointer]


def test_a_total_is_counted_on_request(client: TestClient, work: Any):
    work.launch(sweep={"seed": [0, 1, 2]})
    page = client.get("/api/v1/runs?limit=2&total=true").json()
    assert (len(page["items"]), page["total"]) == (2, 3)
    assert client.get("/api/v1/runs?limit=1&total=true&status=failed").json()["total"] == 0
    assert client.get("/api/v1/runs").json()["total"] is None


def test_only_the_requested_fields(client: TestClient, work: Any):
    (run_id,) = work.launch()
    whole = client.get(f"/api/v1/runs/{run_id}").json()
    for path in ("/api/v1/runs", "/api/v1/runs/fields"):
        page = client.get(path, params={"fields": ["spec", "id", "id"], "total": True}).json()
        assert page == {"items": [{"id": run_id, "spec": whole["spec"]}], "next_cursor": None, "total": 1}
    every = client.get("/api/v1/runs/fields", params={"fields": list(Run.model_fields)}).json()["items"]
    assert every == [whole]
    assert refusal(client, fields="statuss") == {
        "/query/fields/0": "a run has no field of this name; did you mean status?"
    }
    assert client.get("/api/v1/runs/fields").status_code == 422


def test_a_wrong_time_gets_an_example(client: TestClient):
    for text in ("yesterday", "2026-02-30", "-1e12", "9" * 400):
        (detail,) = refusal(client, created_after=text).values()
        assert detail.startswith("expected a time such as 2026-01-31T12:00:00Z; got ")


@pytest.mark.parametrize(("sort", "key"), [("lambda_", 2**63), ("created_at", 10**300), ("results.a.b", 2**900)])
def test_a_forged_cursor_is_a_page_without_runs_or_refused(client: TestClient, sort: str, key: int):
    answer = client.get("/api/v1/runs", params={"sort": sort, "cursor": cursors.encode(sort, key, 1)})
    assert answer.status_code in (200, 422), answer.text
