"""Searches with Optuna on a real database, with runs whose results are known functions of their parameters."""

import math
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from fastapi.testclient import TestClient
from optuna.trial import TrialState

from densitylab.backend.reconciler import advance_searches, prune_trials
from densitylab.backend.shared.contracts import Evaluation, Run, Status, Value
from densitylab.backend.shared.store import experiments, metrics, runs, tasks
from densitylab.backend.shared.store.metrics import Point

LAMBDA = {"type": "number", "path": "lambda_", "low": 0.001, "high": 10, "log": True}
BATCH = {"type": "integer", "path": "batch_size", "low": 50, "high": 200, "step": 50}
OPTIMIZER = {"type": "choice", "path": "optimizer.key", "choices": ["adam", "sgd"]}
SEARCH = {
    "kind": "optuna",
    "parameters": [LAMBDA, BATCH, OPTIMIZER],
    "objectives": [{"result": "pgd_linf.accuracy", "direction": "maximize"}],
    "trials": 14,
    "parallel": 4,
    "seeds": [0, 1],
    "startup_trials": 4,
}
SPEC = {"epochs": 5, "evaluations": [{"key": "pgd_linf"}]}
CURVE = "validation_accuracy"


def robustness(run: Run) -> float:
    """Best at λ = 1."""
    return 0.5 - 0.05 * math.log10(run.spec.lambda_) ** 2 + 0.001 * run.spec.seed


def accuracy(run: Run, epoch: int = 5) -> float:
    """Falls with λ, and rises with the epoch."""
    return 0.8 - 0.1 * math.log10(run.spec.lambda_) - 0.1 / epoch


def of(work: Any) -> list[Run]:
    with work.system.database.read() as session:
        return list(runs.many(session, experiments.run_ids(session, 1)).values())


def queued(work: Any) -> list[int]:
    return [run.id for run in of(work) if run.status is Status.QUEUED]


def report(work: Any, held: tasks.Claim, epoch: int) -> None:
    """Store the points of the first epochs of a running training."""
    with work.system.database.write() as session:
        tasks.fence(session, held)
        run = runs.get(session, held.run_id or 0)
        assert run is not None
        value = accuracy(run, epoch)
        metrics.append(session, run.id, [Point(CURVE, 10 * epoch, float(epoch), value, 1.0)])


def results(run: Run, evaluation: Evaluation) -> dict[str, Value]:
    """Return the values of an evaluation; on test images they are others than on validation images."""
    value = accuracy(run) if evaluation.key == "accuracy" else robustness(run)
    value = value if evaluation.split == "validation" else 1 - value
    return {"accuracy": Value(value=value, n=100, higher_is_better=True)}


def finish(work: Any, run_id: int, held: tasks.Claim | None = None) -> None:
    """Take a run through its training and its evaluations."""
    if held is None:
        held = work.start(run_id)
        for epoch in range(1, 6):
            report(work, held, epoch)
    work.checkpoint(held)
    work.end(held)
    work.store_results(run_id, results)


def launch(client: TestClient, **changes: Any) -> Any:
    search = {**SEARCH, **changes.pop("search", {})}
    return client.post("/api/v1/experiments", json={"name": "search", "spec": SPEC, "search": search, **changes})


def tried(client: TestClient) -> Any:
    return client.get("/api/v1/experiments/1/search").json()


def complete(work: Any) -> None:
    while waiting := queued(work):
        for run_id in waiting:
            finish(work, run_id)
        advance_searches(work.system)


def test_all_trials_are_launched_in_batches_and_judged_on_validation_images(client: TestClient, work: Any):
    work.prepare()
    cost = client.post("/api/v1/experiments/preflight", json={"spec": SPEC, "search": SEARCH}).json()
    assert (cost["runs"], cost["max_runs"]) == (8, 28)
    launched = launch(client)
    assert launched.status_code == 202 and launched.json()["search"]["kind"] == "optuna"
    first = tried(client)
    assert (first["status"], first["runs"], first["max_runs"]) == ("running", 8, 28)
    assert first["methods"][0]["reason"] == "4 of 4 trials are not done; up to 4 of the 10 left come next."
    assert first["max_seconds_left"] is None
    advance_searches(work.system)
    assert len(of(work)) == 8  # nothing is trained yet
    complete(work)
    state = tried(client)
    assert (state["status"], state["reason"]) == ("finished", "All 14 trials are done.")
    assert (state["runs"], state["max_runs"], state["max_seconds_left"]) == (28, 28, 0.0)
    assert [item["number"] for item in state["candidates"]] == list(range(14))
    assert {item["state"] for item in state["candidates"]} == {"complete"}
    assert state["candidates"][0]["reason"] == "Drawn at random: TPE begins after 4 trials."
    assert state["candidates"][13]["reason"] == "Proposed by TPE from 12 trials."
    values = [item["value"] for item in state["candidates"]]
    assert [item["number"] for item in state["candidates"] if item["best"]] == [values.index(max(values))]
    specs = {run.id: run.spec for run in of(work)}
    for item in state["candidates"]:
        own = [specs[run_id] for run_id in item["runs"]]
        assert [spec.seed for spec in own] == [0, 1]
        for spec in own:
            assert item["parameters"] == {
                "lambda_": spec.lambda_,
                "batch_size": spec.batch_size,
                "optimizer.key": spec.optimizer.key,
            }
        assert item["value"] == pytest.approx(0.5005 - 0.05 * math.log10(item["lambda_"]) ** 2)
        assert item["accuracy"] == pytest.approx(0.78 - 0.1 * math.log10(item["lambda_"]))
    experiment = client.get("/api/v1/experiments/1").json()
    assert experiment["finished"] and len(experiment["runs"]) == 28


def test_a_search_that_is_killed_at_any_moment_launches_the_same_trials(
    client: TestClient, work: Any, monkeypatch: pytest.MonkeyPatch
):
    work.prepare()
    few = {"seeds": [0], "trials": 10}
    launch(client, search=few)
    complete(work)
    undisturbed = [item["parameters"] for item in tried(client)["candidates"]]
    client.delete("/api/v1/experiments/1").raise_for_status()
    second = launch(client, search=few).json()["id"]
    draw, create = random.Random(0), runs.create

    def killed(*args: Any, **kwargs: Any) -> Any:
        create(*args, **kwargs)
        raise KeyboardInterrupt

    def waiting() -> list[int]:
        with work.system.database.read() as session:
            members = runs.many(session, experiments.run_ids(session, second)).values()
        return [run.id for run in members if run.status is Status.QUEUED]

    while left := waiting():
        for run_id in draw.sample(left, len(left)):
            finish(work, run_id)
            monkeypatch.setattr(runs, "create", killed)
            work.system.searches.clear()  # another reconciler
            with suppress(KeyboardInterrupt):
                advance_searches(work.system)
            monkeypatch.setattr(runs, "create", create)
        advance_searches(work.system)
    state = client.get(f"/api/v1/experiments/{second}/search").json()
    assert state["status"] == "finished" and len(undisturbed) == 10
    assert [item["parameters"] for item in state["candidates"]] == undisturbed


PRUNING = {
    "parameters": [LAMBDA],
    "seeds": [0],
    "trials": 8,
    "pruning": {"startup_trials": 4, "warmup_epochs": 1},
    "sampler": "random",
}


def test_the_time_at_which_a_trial_is_pruned_does_not_change_the_search(client: TestClient, work: Any):
    work.prepare()
    launch(client, search=PRUNING)
    for run_id in queued(work):
        finish(work, run_id)
    advance_searches(work.system)
    second = queued(work)
    held = {run_id: work.start(run_id) for run_id in second}
    for claim in held.values():
        report(work, claim, 1)
    prune_trials(work.system)
    assert {item["state"] for item in tried(client)["candidates"][4:]} == {"running"}  # the first epoch is not judged
    for claim in held.values():
        report(work, claim, 2)
    behind = {item["runs"][0]: item["reason"] for item in tried(client)["candidates"] if item["state"] == "pruned"}
    assert 0 < len(behind) < 4
    stopped, *missed = sorted(behind)
    for run_id in missed:  # trained to their end before anybody looked
        for epoch in range(3, 6):
            report(work, held[run_id], epoch)
        finish(work, run_id, held.pop(run_id))
    before = tried(client)["candidates"]
    prune_trials(work.system)
    with work.system.database.read() as session:
        task = tasks.get(session, held[stopped].task_id)
    assert task is not None and task.cancel_requested
    advance_searches(work.system)
    assert len(of(work)) == 8  # the pruned training has not stopped yet
    work.end(held.pop(stopped), Status.CANCELLED)
    for run_id, claim in held.items():
        for epoch in range(3, 6):
            report(work, claim, epoch)
        finish(work, run_id, claim)
    advance_searches(work.system)
    state = tried(client)
    assert state["status"] == "finished"
    pruned = [item for item in state["candidates"] if item["state"] == "pruned"]
    assert {item["runs"][0]: item["reason"] for item in pruned} == behind
    assert pruned == [item for item in before if item["state"] == "pruned"]
    assert behind[stopped] == (
        "Pruned after epoch 2: its validation accuracy was worse than the median of 4 earlier trials."
    )
    run = client.get(f"/api/v1/runs/{stopped}").json()
    assert run["status"] == "cancelled" and run["flags"][-1] == {"key": "pruned_trial", "text": behind[stopped]}


def load(client: TestClient, folder: Path) -> optuna.Study:
    answer = client.get("/api/v1/experiments/1/search/study")
    assert answer.status_code == 200 and "experiment-1" in answer.headers["Content-Disposition"]
    file = folder / "study.sqlite"
    file.write_bytes(answer.content)
    return optuna.load_study(storage=f"sqlite:///{file}", study_name="experiment-1")


def test_optuna_reads_the_study_with_all_trials(client: TestClient, work: Any, tmp_path: Path):
    work.prepare()
    launch(client, search={**PRUNING, "trials": 9})
    for run_id in queued(work):
        finish(work, run_id)
    advance_searches(work.system)
    first, *others = queued(work)
    work.end(work.start(first), Status.FAILED, "diverged")
    for run_id in others:
        finish(work, run_id)
    advance_searches(work.system)
    state = tried(client)
    study = load(client, tmp_path)
    expected = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }
    assert {item["state"] for item in state["candidates"]} == set(expected)
    for trial, item in zip(study.trials, state["candidates"], strict=True):
        assert trial.state == expected[item["state"]] and trial.params == item["parameters"]
        assert trial.user_attrs["runs"] == item["runs"]
        if item["state"] == "complete":
            assert trial.value == item["value"] and list(trial.intermediate_values) == [1, 2, 3, 4, 5]
        if item["state"] == "pruned":
            assert list(trial.intermediate_values) == [1, 2]
    assert study.best_trial.number == next(item["number"] for item in state["candidates"] if item["best"])
    assert study.metric_names == ["pgd_linf.accuracy"]


def test_several_objectives_have_a_pareto_front(client: TestClient, work: Any, tmp_path: Path):
    work.prepare()
    objectives = [*SEARCH["objectives"], {"result": "accuracy.accuracy", "direction": "maximize"}]  # type: ignore[misc]
    launch(client, search={"objectives": objectives, "seeds": [0]})
    complete(work)
    state = tried(client)
    front = [item["number"] for item in state["candidates"] if item["best"]]
    assert 1 < len(front) < 14
    assert sorted(trial.number for trial in load(client, tmp_path).best_trials) == front
    assert all(len(item["values"]) == 2 for item in state["candidates"])


def test_repeated_and_refused_combinations_are_not_trained(client: TestClient, work: Any):
    work.prepare()
    parameters = [
        {"type": "choice", "path": "regularizer.params.estimator", "choices": ["double_backward", "random_projection"]},
        {"type": "choice", "path": "regularizer.params.p_norm", "choices": ["1", "2"]},  # the projection needs 2
    ]
    launched = launch(client, search={"parameters": parameters, "seeds": [0], "startup_trials": 1})
    assert launched.status_code == 202, launched.text
    complete(work)
    state = tried(client)
    assert state["reason"].startswith(
        "No combination is left to try after 3 trials; regularizer.params.estimator random_projection, "
        "regularizer.params.p_norm 1 was refused: "
    )
    found = {tuple(item["parameters"].values()) for item in state["candidates"]}
    assert found == {("double_backward", "1"), ("double_backward", "2"), ("random_projection", "2")}


def test_what_needs_a_person_is_said(client: TestClient, work: Any):
    work.prepare()
    launch(client)
    first, *others = queued(work)
    for run_id in others:
        finish(work, run_id)
    assert client.post(f"/api/v1/runs/{first}/cancel").is_success
    advance_searches(work.system)
    assert tried(client)["reason"] == f"Run {first} was cancelled: retry it, or stop the search." and not queued(work)
    stopped = client.post("/api/v1/experiments/1/search/stop").json()
    assert (stopped["status"], stopped["max_runs"]) == ("stopped", 8)
    assert client.get("/api/v1/experiments/1").json()["finished"] is True


def test_a_result_that_no_run_has_ends_the_search(client: TestClient, work: Any):
    work.prepare()
    launch(client, search={"objectives": [{"result": "pgd_linf.acuracy", "direction": "maximize"}]})
    complete(work)
    state = tried(client)
    assert state["reason"] == "No run has a result pgd_linf.acuracy on validation images." and state["runs"] == 8


def test_a_missing_package_is_said_at_the_launch_and_stops_a_search(
    client: TestClient, work: Any, monkeypatch: pytest.MonkeyPatch
):
    work.prepare()
    launch(client, search={"seeds": [0]})
    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it was not installed
    refused = launch(client)
    sentence = (
        "a search with Optuna needs a package that is not installed: pip install 'densitylab[optuna]' for the API"
    )
    assert refused.status_code == 501 and refused.json()["detail"] == sentence
    for run_id in queued(work):
        finish(work, run_id)
    advance_searches(work.system)
    state = tried(client)
    assert (state["status"], state["reason"]) == ("stopped", f"Its next runs were refused: {sentence}")


def test_the_search_of_another_kind_has_no_study(client: TestClient, work: Any):
    work.prepare()
    bracket = {"kind": "bracket", "result": "pgd_linf.accuracy"}
    assert client.post("/api/v1/experiments", json={"spec": SPEC, "search": bracket}).status_code == 202
    assert client.get("/api/v1/experiments/1/search/study").status_code == 404


def parameter(**changes: Any) -> dict[str, Any]:
    return {"search": {"parameters": [BATCH, {**LAMBDA, **changes}]}}


def choices(path: str, *values: Any) -> dict[str, Any]:
    return {"search": {"parameters": [{"type": "choice", "path": path, "choices": values}]}}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"search": {"objectives": [{"result": "leakage.l2", "direction": "minimize"}]}}, "objectives/0/result"),
        ({"search": {"objectives": SEARCH["objectives"] * 2}}, "objectives/1/result"),  # type: ignore[operator]
        ({"search": {"objectives": []}}, "objectives"),
        ({"search": {"trials": 300}}, "trials"),
        ({"search": {"sampler": "magic"}}, "sampler"),
        ({"search": {"pruning": {"metric": "validation_worst_group"}}}, "pruning/metric"),
        (parameter(low=20), "parameters/1/high"),
        (parameter(low=0), "parameters/1/low"),
        (parameter(low="a"), "parameters/1/low"),
        (parameter(step=0.5), "parameters/1/step"),
        (parameter(high=1e9), "parameters/1/high"),
        (parameter(type="list"), "parameters/1/type"),
        (parameter(path="optimizer.params.speed"), "parameters/1/path"),
        (parameter(path="nothing"), "parameters/1/path"),
        (parameter(path="seed"), "parameters/1/path"),
        (parameter(path="dataset.params.data_seed"), "parameters/1/path"),
        (parameter(path="batch_size"), "parameters/1/path"),
        (choices("optimizer.key", "adam", "magic"), "parameters/0/choices/1"),
        (choices("lambda_", 0.1, [0.2]), "parameters/0/choices/1"),
        (choices("lambda_", 0.1, 0.1), "parameters/0/choices/1"),
    ],
)
@pytest.mark.few(8)
def test_wrong_fields_are_named(client: TestClient, work: Any, changes: dict[str, Any], pointer: str):
    work.prepare()
    refused = launch(client, **changes)
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == f"/search/{pointer}", refused.text
    assert client.get("/api/v1/experiments").json()["items"] == []


def test_a_sweep_beside_the_search_is_refused(client: TestClient, work: Any):
    work.prepare()
    refused = launch(client, sweep={"lambda_": [0.1]})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/sweep"
    several = [*SEARCH["objectives"], {"result": "accuracy.accuracy", "direction": "maximize"}]  # type: ignore[misc]
    refused = launch(client, search={"objectives": several, "pruning": {}})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/search/pruning"
