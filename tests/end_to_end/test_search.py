"""A search for λ with real workers, whose reconciler is killed on the way."""

import time

import psutil
import pytest

SPEC = {
    "model": {"key": "mlp", "params": {"hidden": 16}},
    "epochs": 2,
    "train_samples": 300,
    "evaluations": [{"key": "pgd_linf", "params": {"steps": 2, "samples": 50}}],
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_goes_on_after_its_reconciler_is_killed(running_system):
    client = running_system.client
    search = {"kind": "bracket", "result": "pgd_linf.accuracy", "seeds": [0], "max_candidates": 5}
    launched = client.launch({"name": "search", "spec": SPEC, "search": search})
    while len(client.experiment(launched.id).runs) == len(launched.runs):
        time.sleep(0.5)
    killed = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "densitylab.backend.reconciler" in (process.info["cmdline"] or [])
        and process.environ().get("DENSITYLAB_API_PORT") in running_system.api
    ]
    for process in killed:
        process.kill()
    found = client.wait(launched.id, check=True)
    state = client.search(launched.id)
    assert killed and state.status == "finished" and state.runs == len(found)
    tried = [item.lambda_ for item in state.candidates]
    assert tried == sorted(set(tried)) and 4 <= len(tried) <= 5
    assert client.experiment(launched.id).finished
