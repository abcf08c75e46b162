"""Open doors: registered data sets with several API processes, plug-ins, plug-ins that fail."""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import densitylab
from densitylab.backend.shared.contracts import ArchiveRequest, EvaluationSpec, Status
from tests.end_to_end.systems import RunningSystem, started

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"model": {"key": "mlp", "params": {"hidden": 8}}, "epochs": 1, "evaluations": [], "device": "cpu"}
BROKEN = """
from densitylab import AttributionEntry, EvaluationEntry, RegularizerEntry
def entries():
    return [
        RegularizerEntry("broken", "Broken", "Its module does not exist.", "no_such_module:penalty"),
        AttributionEntry("fails", "Fails", "Its module raises an error.", "failing_module:explain"),
        EvaluationEntry(
            "lacking", "Lacking", "It needs another package.", "densitylab.worker.evaluations.accuracy:accuracy",
            package="no_such_package",
        ),
    ]
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Two API processes on one port, with the example plug-in and one whose modules cannot be imported."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site,
         ROOT / "examples" / "plugin"],
        check=True,
        timeout=120,
    )  # fmt: skip
    (site / "broken_catalog.py").write_text(BROKEN)
    (site / "failing_module.py").write_text("raise OSError('no such disk')")
    metadata = site / "broken_plugin-2.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 2.0\n")
    (metadata / "entry_points.txt").write_text("[densitylab.catalog]\nbroken = broken_catalog:entries\n")
    path = os.pathsep.join(filter(None, [str(site), str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {"DENSITYLAB_API_PROCESSES": "2", "PYTHONPATH": path}
    log = tmp_path_factory.mktemp("system") / "log.txt"
    with tempfile.TemporaryDirectory(prefix="dl-") as home, started(Path(home), log, environment) as running:
        yield running


def archive(seed: int) -> io.BytesIO:
    """Twelve images of each of two classes."""
    rng, file = np.random.default_rng(seed), io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for label in ("light", "dark"):
            for number in range(12):
                image = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(image, "PNG")
                packed.writestr(f"{label}/{number}.png", image.getvalue())
    file.seek(0)
    return file


def test_register_wait_launch_in_every_api_process(system: RunningSystem):
    for seed in range(3):
        client = densitylab.connect(system.api)
        label = f"Patches {seed}"
        task = client.register_archive(ArchiveRequest(label=label), "patches.zip", archive(seed))
        while not task.status.final:
            task = client.task(task.id)
        assert task.status is Status.SUCCEEDED, task.error
        # A connection of its own for each request, so that the kernel spreads them over both processes
        for number in range(8):
            with densitylab.connect(system.api) as another:
                spec = {**SMALL, "dataset": {"key": f"patches_{seed}"}, "seed": number}
                assert another.launch({"name": label, "spec": spec}).runs
                assert any(item.key == f"patches_{seed}" for item in another.catalog().entries("dataset"))
    runs = client.wait(runs=[run.id for run in client.every(client.runs, dataset="patches_2")], timeout=240)
    assert {run.status for run in runs} == {Status.SUCCEEDED}


def test_the_plug_in_trains_is_evaluated_exported_and_imported_again(system: RunningSystem, tmp_path: Path):
    spec = {
        "dataset": {"key": "stripes"},
        "model": {"key": "cifar_resnet", "params": {"n": 1}},
        "regularizer": {"key": "elastic_net"},
        "lambda_": 0.01,
        "epochs": 2,
        "evaluations": [{"key": "noise_accuracy"}],
        "device": "cpu",
    }
    client = system.client
    request = {"name": "plug-in", "spec": spec}
    assert client.preflight(request).launchable
    (run,) = client.wait(client.launch(request).id, timeout=240)
    assert run.status is Status.SUCCEEDED, run.error
    assert run.results["accuracy.accuracy"].value > 0.9 and run.results["noise_accuracy.accuracy"].n == 500
    used = run.provenance["plugins"]["densitylab-example"]
    assert used["version"] == "0.1.0" and "regularizer elastic_net" in used["entries"]
    assert client.run(run.id).missing == []

    folder = client.export(run.id, tmp_path / "away", ["safetensors"])
    assert "of the plug-in densitylab-example 0.1.0" in (folder / "README.md").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert config["plugin"] == {"package": "densitylab-example", "version": "0.1.0"}
    again = client.import_model(
        folder / "model.safetensors", dataset="stripes", model=config["model"], normalization="dataset"
    )
    (again,) = client.wait(runs=[again.id], timeout=240)
    assert again.results["accuracy.accuracy"].value == run.results["accuracy.accuracy"].value


def test_an_entry_that_no_worker_can_import_is_shown_and_refused_with_the_reason(system: RunningSystem):
    client = system.client
    catalog = client.catalog()
    broken, fails = catalog.entry("regularizer", "broken"), catalog.entry("attribution", "fails")
    assert broken is not None and "No module named 'no_such_module'" in (broken.unavailable or "")
    assert fails is not None and "OSError: no such disk" in (fails.unavailable or "")
    elastic_net = catalog.entry("regularizer", "elastic_net")
    assert elastic_net is not None and elastic_net.unavailable is None and elastic_net.plugin is not None
    for spec, sweep, pointer in (
        ({"regularizer": {"key": "broken"}}, None, "/spec/regularizer/key"),
        ({}, {"regularizer": [{"key": "none"}, {"key": "broken"}]}, "/sweep/regularizer/1/key"),
        (
            {"evaluations": [{"key": "leakage", "params": {"attribution": {"key": "fails"}}}]},
            None,
            "/spec/evaluations/0/params/attribution/key",
        ),
    ):
        for ask in (client.launch, client.preflight):
            with pytest.raises(densitylab.ApiError) as refused:
                ask({"name": "broken", "spec": {**SMALL, **spec}, "sweep": sweep})
            assert refused.value.status == 422
            assert [item.pointer for item in refused.value.errors] == [pointer]
            assert "no worker can run" in refused.value.errors[0].detail


@pytest.mark.parametrize(("key", "package"), [("lacking", "no_such_package")])
def test_an_evaluation_whose_package_no_worker_has_is_refused_before_the_training(
    key: str, package: str, system: RunningSystem
):
    client = system.client
    entry, reason = client.catalog().entry("evaluation", key), f"the package {package} is not installed"
    assert entry is not None and reason in (entry.unavailable or "")
    request = {"name": key, "spec": {**SMALL, "evaluations": [{"key": "accuracy"}, {"key": key}]}}
    for ask in (client.launch, client.preflight):
        with pytest.raises(densitylab.ApiError) as refused:
            ask(request)
        assert refused.value.status == 422
        (error,) = refused.value.errors
        assert error.pointer == "/spec/evaluations/1/key" and reason in error.detail
    (run,) = client.wait(client.launch({"name": "plain", "spec": SMALL}).id, timeout=240)
    with pytest.raises(densitylab.ApiError) as refused:
        client.evaluate(run.id, EvaluationSpec(key=key))
    assert refused.value.status == 422 and reason in refused.value.errors[0].detail
