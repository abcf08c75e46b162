"""A run that continues another one in a whole system, and whose training is killed on the way."""

import io
import time
from pathlib import Path

import psutil
import pytest
import torch

from densitylab.backend.shared.contracts import Status
from tests.end_to_end.systems import RunningSystem, started

SPEC = {
    "model": {"key": "mlp", "params": {"hidden": 64, "activation": "silu", "dropout": 0.1}},
    "regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "every": 2}},
    "optimizer": {"key": "sgd", "params": {"lr": 0.05, "momentum": 0.9}},
    "epochs": 5,
    "device": "cpu",
    "evaluations": [],
}
EPOCHS = 40


def training_process(home: Path) -> psutil.Process:
    """Return the forked process of a training worker of this system."""
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("DENSITYLAB_HOME") == str(home)
            parent = process.parent() if ours else None
            if parent is not None and "training" in process.cmdline() and process.cmdline() == parent.cmdline():
                return process
        except psutil.Error:
            continue
    raise AssertionError("no training process")


def weights(system: RunningSystem, run: int) -> dict[str, torch.Tensor]:
    content = system.client.artifact(run, "checkpoint.pt")
    return torch.load(io.BytesIO(content), weights_only=True)["state"]["model"]


def rows(system: RunningSystem, run: int) -> dict[str, list[tuple[int, float]]]:
    return {
        series.name: [(point.step, point.value) for point in series.points]
        for series in system.client.metrics(run)
        if series.name != "throughput"
    }


@pytest.mark.slow
def test_a_continued_run_that_is_killed_ends_as_a_run_of_all_epochs_at_once(tmp_path):
    with started(tmp_path, tmp_path / "log.txt", {"DENSITYLAB_WORKERS": "1", "DENSITYLAB_THREADS": "1"}) as system:
        client = system.client
        (source,) = client.launch({"name": "source", "spec": SPEC}).runs
        (at_once,) = client.launch({"name": "at once", "spec": SPEC | {"epochs": EPOCHS}}).runs
        client.wait(client.run(at_once).experiment, timeout=300)
        (run,) = client.continue_run(source, EPOCHS).runs
        deadline = time.monotonic() + 120
        while client.run(run).progress < 0.4:
            assert time.monotonic() < deadline and not client.run(run).status.final
            time.sleep(0.05)
        training_process(tmp_path).kill()
        client.wait(client.run(run).experiment, timeout=300)
        ended = client.run(run)
        assert (ended.status, ended.attempt) == (Status.SUCCEEDED, 2)
        ours, theirs = weights(system, run), weights(system, at_once)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert rows(system, run) == rows(system, at_once)
        assert client.run(source).lineage.children == [run]
