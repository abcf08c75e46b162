"""A model on its way out of a whole system and back: from a terminal, and through an import."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import densitylab
from densitylab.backend.shared.contracts import Status

ROOT = Path(__file__).resolve().parents[2]
SPEC = {"model": {"key": "mlp", "params": {"hidden": 16}}, "epochs": 1, "train_samples": 200, "evaluations": []}
pytestmark = pytest.mark.timeout(600)


def command(api: str, *arguments: str | Path) -> str:
    outcome = subprocess.run(
        [sys.executable, "-m", "densitylab", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DENSITYLAB_API_URL": api},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_a_model_leaves_and_its_spec_makes_the_run_again(running_system, tmp_path: Path):
    client, api = running_system.client, running_system.api
    (run,) = client.wait(client.launch({"spec": SPEC}).id)
    printed = command(api, "export", str(run.id), "--model", tmp_path / "model")
    names = {"README.md", "config.json", "model.onnx", "model.pt2", "model.safetensors", "spec.yaml"}
    assert {Path(line.split("  ")[0]).name for line in printed.splitlines()} == names
    x = torch.rand(2, 1, 56, 28)
    expected = densitylab.load_model(run.id, client)(x)
    assert torch.equal(densitylab.load_model(client, run.id)(x), expected)  # as before
    assert torch.equal(densitylab.load_model(tmp_path / "model")(x), expected)
    assert torch.equal(densitylab.load_model(f"{api}/api/v1/runs/{run.id}")(x), expected)

    launched = command(api, "launch", tmp_path / "model" / "spec.yaml", "--watch")
    number = int(re.findall(r"\d+", launched.splitlines()[0])[-1])
    again = client.run(number)
    assert again.status is Status.SUCCEEDED and again.id != run.id
    assert again.provenance["spec_hash"] == run.provenance["spec_hash"]
    assert torch.equal(densitylab.load_model(again.id, client)(x), expected)


def test_addresses_that_name_no_run(running_system):
    for address in (running_system.api, f"{running_system.page}/run?run=1", f"{running_system.api}/api/v1/runs/x"):
        with pytest.raises(ValueError, match="expected the address of a run"):
            densitylab.load_model(address)
    with pytest.raises(densitylab.ApiError, match="run 99999 does not exist"):
        densitylab.load_model(f"{running_system.api}/api/v1/runs/99999")
