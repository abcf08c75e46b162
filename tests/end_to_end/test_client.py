"""The client and the command line against a whole system with real workers."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import densitylab
from densitylab.backend.shared.contracts import Status

ROOT = Path(__file__).resolve().parents[2]
TINY = {"spec": {"epochs": 2, "train_samples": 300, "evaluations": []}}
pytestmark = pytest.mark.timeout(600)


def test_the_notebook_runs_as_it_is_written(running_system, tmp_path: Path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "notebook.md").read_text(), re.M | re.S)
    monkeypatch.setenv("DENSITYLAB_API_URL", running_system.api)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "notebook"}
    with ThreadPoolExecutor(1) as own_thread:  # a browser that an earlier test opened has an event loop in this one
        for place, block in enumerate(blocks):
            own_thread.submit(exec, compile(block, f"docs/notebook.md, block {place + 1}", "exec"), names).result()
    runs = names["runs"]
    assert len(runs) == 4 and {run.status for run in runs} == {Status.SUCCEEDED}
    assert names["table"]["leakage.l2"].notna().all() and len(names["curves"]) > 0
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as maps:
        assert maps["attributions"].shape == (2, 4, 1, 56, 28) and np.abs(maps["attributions"]).max() > 0
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("curves.html", "maps.html"))
    assert names["ended"] == ["run.succeeded"] * 2 and len(names["checkpoint"]) > 1000
    assert "100%  4 of 4 trained" in capsys.readouterr().out


def test_launch_and_watch_from_a_terminal(running_system, tmp_path: Path):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**TINY, "name": "watched", "sweep": {"seed": [0, 1]}}))
    outcome = subprocess.run(
        [sys.executable, "-m", "densitylab", "launch", str(spec), "--watch"],
        cwd=ROOT,
        env={**os.environ, "DENSITYLAB_API_URL": running_system.api},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    first, *table = outcome.stdout.splitlines()
    experiment, _, *runs = map(int, re.findall(r"\d+", first))
    assert len(runs) == 2 and "100%  2 of 2 trained" in outcome.stderr
    assert table[0].split()[:3] == ["run", "experiment", "status"] and table[0].endswith("accuracy.accuracy")
    for line, run_id in zip(table[2:], runs, strict=True):
        run = running_system.client.run(run_id)
        assert run.experiment == experiment and run.status is Status.SUCCEEDED
        assert line.split()[0] == str(run_id) and "succeeded" in line


def test_a_run_that_was_waited_for_and_cancelled_is_no_success(running_system):
    client = running_system.client
    experiment = client.launch({"spec": {"epochs": 500, "evaluations": []}})
    process = subprocess.Popen(
        [sys.executable, "-m", "densitylab", "wait", str(experiment.runs[0])],
        cwd=ROOT,
        env={**os.environ, "DENSITYLAB_API_URL": running_system.api},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for item in client.events(experiment.runs[0], after=0):
        if getattr(item, "type", "") == "run.running":
            break
    client.cancel_run(experiment.runs[0])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3 and f"Run {experiment.runs[0]} cancelled" in errors


def test_a_loaded_model_predicts_what_the_worker_did(running_system):
    client = running_system.client
    (run,) = client.wait(client.launch({"spec": {"epochs": 2, "train_samples": 300, "evaluations": []}}).id)
    samples = client.samples(run.spec.dataset.key, split="test", limit=20).items
    images = [Image.open(io.BytesIO(base64.b64decode(sample.image.partition(",")[2]))) for sample in samples]
    x = torch.from_numpy(np.stack([np.asarray(image) for image in images]))[:, None].float() / 255
    before = torch.random.get_rng_state()
    model = densitylab.load_model(client, run.id)
    assert torch.equal(torch.random.get_rng_state(), before) and not model.training
    with torch.no_grad():
        confidence, predicted = model(x).softmax(dim=1).max(dim=1)
    stored = client.artifact_arrays(run.id, "accuracy.npz")
    indices = [sample.index for sample in samples]
    np.testing.assert_array_equal(predicted, stored["predicted"][indices])
    np.testing.assert_allclose(confidence, stored["confidence"][indices], rtol=1e-4)
    with pytest.raises(densitylab.ApiError):
        densitylab.load_model(client, 99999)
