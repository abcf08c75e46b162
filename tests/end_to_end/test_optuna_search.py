"""A search with Optuna with real workers, whose reconciler and workers are killed on the way."""

import time
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

SPEC = {
    "model": {"key": "mlp", "params": {"hidden": 16}},
    "epochs": 3,
    "batch_size": 50,
    "train_samples": 600,
    "evaluations": [],
}
SEARCH = {
    "kind": "optuna",
    "parameters": [
        {"type": "number", "path": "lambda_", "low": 0.001, "high": 100, "log": True},
        {"type": "number", "path": "optimizer.params.lr", "low": 1e-5, "high": 1e-2, "log": True},
        {"type": "choice", "path": "optimizer.key", "choices": ["adam", "sgd"]},
    ],
    "objectives": [{"result": "accuracy.accuracy", "direction": "maximize"}],
    "trials": 6,
    "parallel": 2,
    "startup_trials": 2,
    "pruning": {"startup_trials": 2},
}


def kill(system: Any, words: str) -> int:
    """Kill the processes of this system whose command has these words; return their number."""
    killed = 0
    for process in psutil.process_iter(["cmdline", "environ"]):
        port = (process.info["environ"] or {}).get("DENSITYLAB_API_PORT")
        if words in " ".join(process.info["cmdline"] or []) and system.api.endswith(f":{port}"):
            process.kill()
            killed += 1
    return killed


def outcome(client: Any, number: int) -> list[tuple[Any, ...]]:
    return [(item.parameters, item.state, item.values) for item in client.search(number).candidates]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_that_is_killed_has_the_trials_of_an_undisturbed_one(running_system, tmp_path):
    client = running_system.client
    undisturbed = client.launch({"name": "undisturbed", "spec": SPEC, "search": SEARCH}).id
    client.wait(undisturbed, check=True)
    disturbed = client.launch({"name": "disturbed", "spec": SPEC, "search": SEARCH}).id
    seen, killed = 0, 0
    while client.experiment(disturbed).search.status == "running":
        launched = len(client.experiment(disturbed).runs)
        if launched > seen:  # at every new batch
            killed += kill(running_system, "densitylab.backend.reconciler") + kill(running_system, "densitylab.worker")
            seen = launched
        time.sleep(0.3)
    client.wait(disturbed, check=True)
    assert killed >= 6 and client.experiment(disturbed).finished
    found = outcome(client, disturbed)
    assert found == outcome(client, undisturbed) and len(found) == 6
    assert {state for _, state, _ in found} == {"complete", "pruned"}
    assert len({values[0] for _, state, values in found if state == "complete"}) > 1
    file = tmp_path / "study.sqlite"
    file.write_bytes(client.search_study(disturbed))
    study = optuna.load_study(storage=f"sqlite:///{file}", study_name=f"experiment-{disturbed}")
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    assert [(trial.params, trial.state) for trial in study.trials] == [
        (parameters, states[state]) for parameters, state, _ in found
    ]
    assert study.best_value == max(values[0] for _, state, values in found if state == "complete")
