"""A whole system in one state folder, as `make up` starts it: its processes and the results of its runs."""

import contextlib
import io
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import psutil
import torch

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import metrics, run_artifacts

ROOT = Path(__file__).resolve().parents[1]


def start_launcher(environment: dict[str, str], output: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "densitylab", "up"],
        cwd=ROOT,
        stdout=output,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )


def belonging(home: Path) -> list[psutil.Process]:
    """Return every process of this state folder, whatever its parent is."""
    processes = []
    # Valkey overwrites its environment with its title
    socket = str(Settings(home=home).broker_socket)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ().get("DENSITYLAB_HOME") == str(home) or socket in " ".join(process.cmdline())
            if own and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def metric_rows(database: Database, run: int) -> set[tuple[str, int, float, float]]:
    """Return all points of a run: (curve, step, epoch, value)."""
    with database.read() as session:
        series = metrics.read(session, run)
    # throughput is a speed and differs between repetitions; its steps do not
    return {
        (item.name, point.step, point.epoch, 0.0 if item.name == "throughput" else point.value)
        for item in series
        for point in item.points
    }


def weights_hash(database: Database, store: ArtifactStore, run: int) -> str:
    """Return the SHA-256 of names and bits of all tensors in the run's checkpoint, optimizer included."""
    with database.read() as session:
        stored = run_artifacts.artifact(session, run, "checkpoint.pt")
    if stored is None:
        return "none"
    digest = sha256()
    _feed(digest, torch.load(io.BytesIO(store.read(stored.location)), weights_only=True)["state"], "state")
    return digest.hexdigest()


def _feed(digest, value: object, where: str) -> None:  # type: ignore[no-untyped-def]
    if isinstance(value, torch.Tensor):
        digest.update(f"{where} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            _feed(digest, value[key], f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _feed(digest, item, f"{where}[{index}]")
    else:
        digest.update(f"{where} {value!r}".encode())
