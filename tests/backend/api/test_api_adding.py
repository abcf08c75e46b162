import threading
from typing import Any

from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System

LAUNCH = "/api/v1/experiments"


def launched(client: TestClient, **body: Any) -> int:
    answer = client.post(LAUNCH, json={"spec": {"evaluations": []}, **body})
    assert answer.status_code == 202
    return answer.json()["id"]


def points(client: TestClient, experiment: int) -> list[tuple[str, float, int]]:
    query = {"experiment": experiment, "sort": "id", "limit": 200}
    items = client.get("/api/v1/runs", params=query).json()["items"]
    return [(run["spec"]["regularizer"]["key"], run["spec"]["lambda_"], run["spec"]["seed"]) for run in items]


def test_seeds_are_added_to_every_configuration(client: TestClient, system: System):
    number = launched(client, sweep=[{"regularizer.key": ["none"], "lambda_": [0]}, {"lambda_": [0.1, 1]}])
    answer = client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [1, 2], "priority": "high"})
    assert answer.status_code == 202 and answer.headers["location"] == f"{LAUNCH}/{number}"
    assert len(answer.json()["added"]) == 6 and answer.json()["skipped"] == []
    assert answer.json()["experiment"]["runs"][3:] == answer.json()["added"]
    density = "marginal_density"
    assert points(client, number)[3:] == [
        ("none", 0, 1),
        ("none", 0, 2),
        (density, 0.1, 1),
        (density, 0.1, 2),
        (density, 1, 1),
        (density, 1, 2),
    ]
    added = client.get(f"/api/v1/runs/{answer.json()['added'][0]}").json()
    assert (added["priority"], added["stage"]) == ("high", "queued")
    assert any(task == added["task"] for task, _ in system.queue.waiting())


def test_lambdas_go_to_where_lambda_was_varied(client: TestClient):
    number = launched(
        client,
        sweep=[{"regularizer.key": ["none"], "lambda_": [0], "seed": [0, 1]}, {"lambda_": [0.1, 1], "seed": [0, 1]}],
    )
    answer = client.post(f"{LAUNCH}/{number}/runs", json={"lambdas": [10, 100]})
    assert answer.status_code == 202
    assert points(client, number)[6:] == [("marginal_density", value, seed) for value in (10, 100) for seed in (0, 1)]
    single = launched(client)
    client.post(f"{LAUNCH}/{single}/runs", json={"lambdas": [0, 10]})
    assert [point[1] for point in points(client, single)] == [0.1, 0, 10]


def test_a_sweep_goes_over_the_spec_of_the_launch(client: TestClient):
    number = launched(client, spec={"evaluations": [], "epochs": 3}, sweep={"lambda_": [0]})
    answer = client.post(f"{LAUNCH}/{number}/runs", json={"sweep": {"lambda_": [0.5], "seed": [7]}})
    assert answer.status_code == 202
    assert client.get(f"/api/v1/runs/{answer.json()['added'][0]}").json()["spec"]["epochs"] == 3
    wrong = client.post(f"{LAUNCH}/{number}/runs", json={"sweep": {"lambda_": [0.5, -1]}})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "/sweep/lambda_/1"


def test_what_is_there_is_refused_or_skipped(client: TestClient):
    number = launched(client, sweep={"seed": [0, 1]})
    there = client.get(f"{LAUNCH}/{number}").json()["runs"]
    refused = client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [1, 2]})
    assert refused.status_code == 409 and f"runs {there[1]}" in refused.json()["detail"]
    assert len(points(client, number)) == 2
    skipped = client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [1, 2, 2], "duplicates": "skip"})
    assert skipped.status_code == 202
    assert (len(skipped.json()["added"]), skipped.json()["skipped"]) == (1, [there[1]])


def test_what_added_runs_is_kept_as_it_was_posted(client: TestClient):
    number = launched(client)
    posted = [{"seeds": [1, 2]}, {"sweep": {"lambda_": [0.5]}, "priority": "low"}]
    for body in [*posted, {"seeds": [1], "lambdas": [0.1], "duplicates": "skip"}]:  # adds nothing
        assert client.post(f"{LAUNCH}/{number}/runs", json=body).status_code == 202
    assert client.get(f"{LAUNCH}/{number}").json()["additions"] == posted


def test_the_same_asked_by_four_at_once_is_added_once(client: TestClient):
    number, told, barrier = launched(client), [], threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        told.append(client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [5]}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [202, 409, 409, 409] and len(points(client, number)) == 2


def test_a_wrong_request_is_named(client: TestClient):
    number = launched(client, sweep={"seed": list(range(300))})
    own = client.get(f"{LAUNCH}/{number}").json()["runs"][0]
    for body, status, at in [
        ({}, 422, ""),
        ({"seeds": [500], "sweep": {"seed": [500]}}, 422, "/sweep"),
        ({"seeds": []}, 422, "/seeds"),
        ({"seeds": [-1]}, 422, "/seeds/0"),
        ({"lambdas": [1e9]}, 422, "/lambdas/0"),
        ({"lambdas": [1.5]}, 422, ""),  # 300 more
        ({"seeds": [500], "runs": []}, 422, "/runs"),
        ({"seeds": [500], "runs": [own, own + 300]}, 422, "/runs/1"),
        ({"sweep": {"seed": [500]}, "runs": [own]}, 422, "/runs"),
    ]:
        answer = client.post(f"{LAUNCH}/{number}/runs", json=body)
        assert answer.status_code == status and answer.json()["errors"][0]["pointer"] == at, body
    assert client.post(f"{LAUNCH}/{number + 1}/runs", json={"seeds": [1]}).status_code == 404


def test_chosen_runs_are_trained_with_other_seeds_and_lambdas(client: TestClient):
    number = launched(
        client,
        sweep=[{"regularizer.key": ["none"], "lambda_": [0], "seed": [0, 1]}, {"lambda_": [0.1, 1], "seed": [0, 1]}],
    )
    runs = client.get(f"{LAUNCH}/{number}").json()["runs"]
    client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [2], "runs": [runs[4]]})
    assert points(client, number)[6:] == [("marginal_density", 1, 2)]
    body = {"lambdas": [0, 10], "runs": [runs[0], runs[2], runs[3]], "duplicates": "skip"}
    price = client.post(f"{LAUNCH}/{number}/runs/preflight", json=body).json()
    client.post(f"{LAUNCH}/{number}/runs", json=body)
    density = "marginal_density"
    assert points(client, number)[7:] == [
        ("none", 10, 0),
        (density, 0, 0),
        (density, 0, 1),
        (density, 10, 0),
        (density, 10, 1),
    ]
    assert [(item["lambda_"], item["seeds"]) for item in price["added"]] == [(10, [0]), (0, [0, 1]), (10, [0, 1])]


def test_nothing_is_added_to_configurations_whose_runs_are_all_cancelled(client: TestClient):
    number = launched(client, sweep={"lambda_": [0, 0.1, 1], "seed": [0, 1]})
    runs = client.get(f"{LAUNCH}/{number}").json()["runs"]
    for run in runs[:3]:  # λ = 0, and one seed of λ = 0.1
        client.post(f"/api/v1/runs/{run}/cancel")
    client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [2]})
    assert [point[1:] for point in points(client, number)[6:]] == [(0.1, 2), (1, 2)]
    client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [3], "runs": runs[:1]})
    assert [point[1:] for point in points(client, number)[8:]] == [(0, 3)]
    for run in client.get(f"{LAUNCH}/{number}").json()["runs"][3:]:
        client.post(f"/api/v1/runs/{run}/cancel")
    refused = client.post(f"{LAUNCH}/{number}/runs", json={"seeds": [4]})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/runs"


def test_the_price_of_more_runs_names_them_and_adds_none(client: TestClient):
    number = launched(
        client,
        sweep=[{"regularizer.key": ["none"], "lambda_": [0], "seed": [0, 1]}, {"lambda_": [0.1, 1], "seed": [0, 1]}],
    )
    path = f"{LAUNCH}/{number}/runs/preflight"
    price = client.post(path, json={"seeds": [1, 2, 3], "duplicates": "skip"}).json()
    density = "marginal_density"
    assert price["added"] == [
        {"regularizer": key, "lambda_": value, "seeds": [2, 3], "runs": 2}
        for key, value in (("none", 0), (density, 0.1), (density, 1))
    ]
    assert len(price["skipped"]) == 3 and price["cost"]["runs"] == 6
    launch = {"spec": {"evaluations": []}, "sweep": {"lambda_": [0, 0.1, 1], "seed": [2, 3]}}
    whole = client.post(f"{LAUNCH}/preflight", json=launch).json()
    assert (price["cost"]["seconds"], price["cost"]["memory_bytes"]) == (whole["seconds"], whole["memory_bytes"])
    assert [len(price["cost"]["seconds_per_run"]), price["cost"]["launchable"]] == [6, True]
    assert len(points(client, number)) == 6
    weights = client.post(path, json={"lambdas": [10]}).json()
    assert weights["added"] == [{"regularizer": density, "lambda_": 10, "seeds": [0, 1], "runs": 2}]


def test_the_price_of_more_runs_refuses_what_adding_them_does(client: TestClient):
    number = launched(client, sweep={"seed": [0, 1]})
    for body in ({"seeds": [1]}, {}, {"seeds": [2], "sweep": {"seed": [3]}}, {"lambdas": [-1]}):
        refused = client.post(f"{LAUNCH}/{number}/runs/preflight", json=body)
        adding = client.post(f"{LAUNCH}/{number}/runs", json=body)
        assert refused.status_code == adding.status_code and refused.status_code in (409, 422)
        assert refused.json()["detail"] == adding.json()["detail"]
    assert client.post(f"{LAUNCH}/999/runs/preflight", json={"seeds": [1]}).status_code == 404
