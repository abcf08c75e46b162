"""Weights λ that have no effect: refused where they would silently become 0, else a flag of the run."""

import pytest

LAUNCH = "/api/v1/experiments"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("number", ["1e-400", "-1E-400", "0.5e-9999", "0." + "0" * 400 + "1"])
@pytest.mark.parametrize("body", ['{"spec": {"lambda_": N}}', '{"sweep": {"lambda_": [0, N]}}'])
def test_a_number_that_would_become_0_is_refused(client, number, body):
    for path in (LAUNCH, f"{LAUNCH}?dry_run=true"):
        answer = client.post(path, content=body.replace("N", number), headers=JSON)
        assert answer.status_code == 422 and "rounds to 0; write 0, or a larger number" in answer.json()["detail"]


def test_it_is_refused_where_runs_are_added(client):
    experiment = client.post(LAUNCH, json={"spec": {"evaluations": []}}).json()["id"]
    answer = client.post(f"{LAUNCH}/{experiment}/runs", content='{"lambdas": [1e-400]}', headers=JSON)
    assert answer.status_code == 422 and "1e-400 rounds to 0" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("number", "flagged"),
    [("0", False), ("0e-400", False), ("1e-300", True), ("5e-324", True), ("1e-39", True), ("1e-37", False)],
)
def test_a_weight_below_single_precision_carries_a_flag(client, number, flagged):
    text = f'{{"spec": {{"lambda_": {number}, "evaluations": []}}}}'
    run = client.post(LAUNCH, content=text, headers=JSON).json()["runs"][0]
    flags = client.get(f"/api/v1/runs/{run}").json()["flags"]
    assert [flag["key"] for flag in flags] == ["lambda_without_effect"] * flagged
    assert [flag["key"] for flag in client.get("/api/v1/runs").json()["items"][0]["flags"]] == [
        "lambda_without_effect"
    ] * flagged
