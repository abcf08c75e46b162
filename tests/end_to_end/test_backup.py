"""A backup of a running system on SQLite is restored to PostgreSQL: the maps of an old run are the same to the byte."""

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densitylab.backend.shared.contracts import ArchiveRequest, AttributionRequest, Samples, Status
from tests.end_to_end.systems import RunningSystem, started
from tests.servers import free_port, postgresql, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPEC = {
    "dataset": {"key": "shades"},
    "model": {"key": "mlp", "params": {"hidden": 8}},
    "epochs": 2,
    "evaluations": [],
    "device": "cpu",
}


def archive() -> io.BytesIO:
    """Return twelve images of each of two classes."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for label in ("light", "dark"):
            for number in range(12):
                image = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(image, "PNG")
                packed.writestr(f"{label}/{number}.png", image.getvalue())
    file.seek(0)
    return file


def run_command(home: Path, environment: dict[str, str], *arguments: str) -> None:
    """Run `densitylab` with these settings."""
    argv = [sys.executable, "-P", "-m", "densitylab", *arguments]
    subprocess.run(argv, env={**os.environ, "DENSITYLAB_HOME": str(home), **environment}, check=True, timeout=120)


def maps(system: RunningSystem, request: AttributionRequest) -> bytes:
    """Draw maps, unless they are stored, and return the file of their arrays."""
    drawn = system.client.draw(request)
    assert drawn.status is Status.SUCCEEDED, drawn.error
    return system.client.attribution_file(drawn.id)


def test_from_sqlite_to_postgresql(tmp_path: Path):
    stored = AttributionRequest(runs=[1], samples=Samples(split="test", indices=[0, 1]))
    later = stored.model_copy(update={"method": "smoothgrad"})
    file = str(tmp_path / "everything.tar")
    with ExitStack() as stack:
        homes = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dl-"))) for _ in range(2)]
        with started(homes[0], tmp_path / "old.txt", {}) as old:
            task = old.client.register_archive(ArchiveRequest(label="Shades"), "shades.zip", archive())
            while not task.status.final:
                task = old.client.task(task.id)
            assert task.status is Status.SUCCEEDED, task.error
            (run,) = old.client.wait(old.client.launch({"name": "old", "spec": SPEC}).id, timeout=240)
            assert (run.id, run.status) == (1, Status.SUCCEEDED), run.error
            until(lambda: all(item.status.final for item in old.client.evaluations(1)))
            run = old.client.run(1)
            before = [maps(old, stored)]
            weights = old.client.artifact(1, "checkpoint.pt")
            run_command(homes[0], {}, "backup", file)
            before.append(maps(old, later))  # not in the backup
        port = free_port()
        postgresql(stack, tmp_path, port)
        environment = {"DENSITYLAB_DATABASE_URL": f"postgresql://densitylab@127.0.0.1:{port}/densitylab"}
        run_command(homes[1], environment, "restore", file)
        with started(homes[1], tmp_path / "new.txt", environment) as new:
            assert new.client.artifact(1, "checkpoint.pt") == weights
            assert [maps(new, stored), maps(new, later)] == before
            restored = new.client.run(1)
            assert (restored.spec, restored.results, restored.metrics) == (run.spec, run.results, run.metrics)
            (again,) = new.client.wait(new.client.launch({"name": "again", "spec": SPEC}).id, timeout=240)
            assert again.metrics["loss"] == run.metrics["loss"]
