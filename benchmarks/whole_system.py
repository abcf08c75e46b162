"""A whole system below one state folder, as `make up` starts it: its processes, and what its runs come to."""

import contextlib
import io
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import psutil
import torch

from backend.shared.artifacts import ArtifactStore
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import metrics, runs

ROOT = Path(__file__).resolve().parents[1]


def start_launcher(environment: dict[str, str], output: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-m", "backend.launcher"], cwd=ROOT, stdout=output,
                            env={**environment, "PYTHONPATH": str(ROOT)})


def belonging(home: Path) -> list[psutil.Process]:
    """Every process that was started for this state folder, whoever its parent is by now."""
    found = []
    # Valkey writes its title over its environment
    socket = str(Settings(home=home).broker_socket)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ().get("DENSITYLAB_HOME") == str(home) or socket in " ".join(process.cmdline())
            if own and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def metric_rows(database: Database, run: int) -> set[tuple[str, int, float, float]]:
    """All points of a run: (curve, step, epoch, value)."""
    with database.read() as session:
        series = metrics.read(session, run)
    # throughput is a speed, the one curve that differs between repeats; its steps do not
    return {
        (item.name, point.step, point.epoch, 0.0 if item.name == "throughput" else point.value)
        for item in series for point in item.points
    }


def weights_hash(database: Database, store: ArtifactStore, run: int) -> str:
    """SHA-256 of the names and bits of all tensors of the run's checkpoint, those of the optimizer included."""
    with database.read() as session:
        stored = runs.artifact(session, run, "checkpoint.pt")
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
