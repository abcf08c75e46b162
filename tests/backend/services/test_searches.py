"""Searches for λ on a real database, with runs whose results are known functions of λ."""

import math
import random
from contextlib import suppress
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from densitylab.backend.reconciler import advance_searches
from densitylab.backend.shared.contracts import Evaluation, Run, Status, Value
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import experiments, runs
from densitylab.backend.shared.tables import EventRow
from tests.backend.api.test_api_registrations import enter

SEARCH = {"kind": "bracket", "result": "pgd_linf.accuracy", "accuracy_budget": 0.02, "seeds": [0, 1]}
SPEC = {"epochs": 1, "evaluations": [{"key": "pgd_linf"}]}


def accuracy(run: Run) -> float:
    """Falls by one point per half decade above λ = 1, and by seed."""
    at = 2 * math.log10(run.spec.lambda_) if run.spec.lambda_ else -99
    return 0.9 - 0.01 * max(at, 0) + 0.001 * run.spec.seed


def robustness(run: Run) -> float:
    return 0.3 + (0.05 * 2 * math.log10(run.spec.lambda_) if run.spec.lambda_ else -0.25)


def results(run: Run, evaluation: Evaluation) -> dict[str, Value]:
    """Return the values of an evaluation; on test images they are others than on validation images."""
    value = accuracy(run) if evaluation.key == "accuracy" else robustness(run)
    value = value if evaluation.split == "validation" else 1 - value
    return {"accuracy": Value(value=value, n=100, higher_is_better=True)}


def train(work: Any, run_id: int) -> None:
    """Take a run through its training and its evaluations."""
    work.train(run_id)
    work.store_results(run_id, results)


def queued(work: Any) -> list[int]:
    with work.system.database.read() as session:
        found = runs.many(session, experiments.run_ids(session, 1)).values()
    return [run.id for run in found if run.status is Status.QUEUED]


def specs_of(work: Any) -> list[tuple[str, float, int]]:
    with work.system.database.read() as session:
        found = runs.many(session, experiments.run_ids(session, 1)).values()
    return [(run.spec.regularizer.key, run.spec.lambda_, run.spec.seed) for run in found]


def launch(client: TestClient, **changes: Any) -> Any:
    body = {"name": "search", "spec": SPEC, "search": SEARCH, **changes}
    return client.post("/api/v1/experiments", json=body)


def test_lambda_is_bracketed_with_all_seeds_and_a_baseline(client: TestClient, work: Any):
    work.prepare()
    assert client.post("/api/v1/experiments/preflight", json={"spec": SPEC, "search": SEARCH}).json()["runs"] == 8
    launched = launch(client)
    assert launched.status_code == 202 and launched.json()["search"]["status"] == "running"
    assert {(key, lambda_) for key, lambda_, _ in specs_of(work)} == {
        ("none", 0.0),
        *(("marginal_density", value) for value in (0.0316, 0.1, 0.316)),
    }
    advance_searches(work.system)
    assert len(specs_of(work)) == 8  # nothing is trained yet
    while waiting := queued(work):
        for run_id in waiting:
            train(work, run_id)
        assert client.get("/api/v1/experiments/1").json()["finished"] is False
        advance_searches(work.system)
    state = client.get("/api/v1/experiments/1/search").json()
    assert (state["status"], state["reason"]) == ("finished", "Every method is done.")
    tried = {item["lambda_"]: item for item in state["candidates"]}
    assert list(tried) == [0.0316, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6]
    assert [value for value, item in tried.items() if item["best"]] == [10.0]
    assert tried[31.6]["within_budget"] is False and tried[10.0]["within_budget"] is True
    assert tried[10.0]["accuracy"] == pytest.approx(0.8805) and len(tried[10.0]["runs"]) == 2
    assert state["methods"][0]["reason"] == "λ = 10 is the best within the accuracy budget, which larger λ cross."
    assert state["baseline_accuracy"] == pytest.approx(0.9005)
    experiment = client.get("/api/v1/experiments/1").json()
    assert experiment["finished"] and len(experiment["runs"]) == 16
    compared = client.get(
        "/api/v1/comparison", params={"experiment": 1, "result": "pgd_linf.accuracy", "accuracy_budget": 0.02}
    )
    assert compared.status_code == 200 and compared.json()["selection"][0]["lambda_"] == 10.0
    with work.system.database.read() as session:
        events = [row.kind for row in session.scalars(select(EventRow)) if row.kind == "experiment"]
    assert len(events) == 1


@pytest.mark.parametrize("kind", ["bracket", "optuna"])
def test_a_search_on_registered_images_goes_on(client: TestClient, work: Any, settings: Settings, kind: str):
    enter(work.system, settings)
    search = {
        "kind": "optuna",
        "parameters": [{"type": "number", "path": "lambda_", "low": 0.01, "high": 1}],
        "objectives": [{"result": "pgd_linf.accuracy", "direction": "maximize"}],
    }
    launched = launch(
        client, spec={**SPEC, "dataset": {"key": "my_birds"}}, search=SEARCH if kind == "bracket" else search
    )
    assert launched.status_code == 202, launched.text
    first = queued(work)
    for run_id in first:
        train(work, run_id)
    advance_searches(work.system)
    assert queued(work), client.get("/api/v1/experiments/1/search").json()["reason"]


def test_methods_get_the_same_number_of_candidates(client: TestClient, work: Any):
    work.prepare()
    sweep = {"regularizer": [{"key": "marginal_density"}, {"key": "gaussian_noise"}]}  # noise: λ is at most 1
    assert launch(client, sweep=sweep).status_code == 202
    while waiting := queued(work):
        for run_id in waiting:
            train(work, run_id)
        advance_searches(work.system)
    state = client.get("/api/v1/experiments/1/search").json()
    assert state["status"] == "finished"
    counts: dict[str, list[float]] = {}
    for item in state["candidates"]:
        counts.setdefault(item["settings"]["regularizer.key"], []).append(item["lambda_"])
    assert len(counts["gaussian_noise"]) == len(counts["marginal_density"]) == 7
    assert max(counts["gaussian_noise"]) == 1.0


def test_a_search_that_is_killed_at_any_moment_launches_the_same_runs(
    client: TestClient, work: Any, monkeypatch: pytest.MonkeyPatch
):
    work.prepare()
    launch(client)
    draw = random.Random(0)
    create = runs.create

    def killed(*args: Any, **kwargs: Any) -> Any:
        create(*args, **kwargs)
        raise KeyboardInterrupt

    while waiting := queued(work):
        for run_id in draw.sample(waiting, len(waiting)):
            train(work, run_id)
            work.system.searches.clear()  # another reconciler
            advance_searches(work.system)
            if not set(queued(work)) & set(waiting):
                break
        if not queued(work):
            break
        monkeypatch.setattr(runs, "create", killed)
        work.system.searches.clear()
        with suppress(KeyboardInterrupt):
            advance_searches(work.system)
        monkeypatch.setattr(runs, "create", create)
    lambdas = {0.0316, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6}
    expected = {("none", 0.0, seed) for seed in (0, 1)} | {
        ("marginal_density", value, seed) for value in lambdas for seed in (0, 1)
    }
    assert sorted(specs_of(work)) == sorted(expected)


def test_what_needs_a_person_is_said_and_a_search_is_stopped(client: TestClient, work: Any):
    work.prepare()
    launch(client)
    first, *others = queued(work)
    for run_id in others:
        train(work, run_id)
    assert client.post(f"/api/v1/runs/{first}/cancel").is_success
    advance_searches(work.system)
    state = client.get("/api/v1/experiments/1/search").json()
    assert state["reason"] == f"Run {first} was cancelled: retry it, or stop the search." and not queued(work)
    stopped = client.post("/api/v1/experiments/1/search/stop")
    assert (stopped.json()["status"], stopped.json()["reason"]) == ("stopped", "It was stopped by request.")
    assert client.get("/api/v1/experiments/1").json()["finished"] is True
    assert client.get("/api/v1/experiments/2/search").status_code == 404


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"search": {**SEARCH, "result": "leakage.share"}}, "/search/result"),
        ({"search": {**SEARCH, "kind": "magic"}}, "/search/kind"),
        ({"search": {**SEARCH, "seeds": []}}, "/search/seeds"),
        ({"search": {**SEARCH, "max_candidates": 50, "seeds": list(range(20))}}, "/search/max_candidates"),
        ({"sweep": {"lambda_": [0.1]}}, "/sweep"),
        ({"sweep": {"seed": [0]}}, "/sweep"),
        ({"spec": {**SPEC, "regularizer": {"key": "none"}}}, "/spec/regularizer/key"),
    ],
)
def test_wrong_fields_are_named(client: TestClient, work: Any, changes: dict[str, Any], pointer: str):
    work.prepare()
    refused = launch(client, **changes)
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == pointer
    assert client.get("/api/v1/experiments").json()["items"] == []
