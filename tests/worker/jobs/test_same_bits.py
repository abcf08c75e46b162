"""A training and its evaluation on one core and on two: the same spec gives the same bits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CODE = """
import hashlib, json, sys
from densitylab.worker.jobs import evaluate, train
from tests.worker.conftest import Lab

lab = Lab()
run_id, task = lab.launch(epochs=1, train_samples=300, batch_size=50, **json.loads(sys.argv[1]))
train.run(task)
(item,) = (item for item in lab.evaluations(run_id).values() if item.key == "leakage")
evaluate.run(item.task)
run, weights = lab.run(run_id), hashlib.sha256()
for name, tensor in lab.weights(run_id).items():
    weights.update(name.encode() + tensor.numpy().tobytes())
(evaluation,) = (item for item in lab.evaluations(run_id).values() if item.key == "leakage")
print(json.dumps({
    "status": run.status,
    "weights": weights.hexdigest(),
    "results": {name: value.value for name, value in run.results.items()},
    "threads": [run.provenance["threads"], evaluation.provenance["threads"]],
}))
"""
pytestmark = pytest.mark.timeout(900)  # four processes that import torch

CNN = {"model": {"key": "cnn", "params": {"width": 4}}}


def trained(home: Path, data: Path, cores: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the hash of the weights, the results and the threads of a run whose process may use these cores."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "DENSITYLAB_THREADS")
    }
    environment |= {"DENSITYLAB_HOME": str(home), "DENSITYLAB_DATA_DIR": str(data)}
    spec = {"evaluations": [{"key": "leakage", "params": {"samples": 40}}], **spec}
    ended = subprocess.run(
        ["taskset", "-c", cores, sys.executable, "-c", CODE, json.dumps(spec)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
        cwd=Path(__file__).parents[3],
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.skipif(shutil.which("taskset") is None, reason="limiting a process to one core needs taskset")
@pytest.mark.parametrize(("spec", "threads"), [(CNN, 1), ({**CNN, "threads": 2}, 2)], ids=["by rule", "two threads"])
@pytest.mark.slow
def test_one_core_and_two_give_the_same_bits(tmp_path: Path, data_folder: Path, spec: dict[str, Any], threads: int):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("a comparison of one core with two needs two cores")
    one = trained(tmp_path / "one", data_folder, str(cores[0]), spec)
    two = trained(tmp_path / "two", data_folder, f"{cores[0]},{cores[1]}", spec)
    assert one == two
    assert (one["status"], one["threads"]) == ("succeeded", [threads, threads])
    assert one["results"]
