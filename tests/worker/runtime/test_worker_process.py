"""A worker process before its first fork."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.timeout(500)


def _python(code: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=240
    ).stdout


def test_all_is_imported_before_the_fork_and_neither_threads_nor_cuda_are_started():
    said = _python("""
import os, sys
import densitylab.worker.main
from densitylab.backend.shared.catalog import Catalog
from densitylab.worker import resolve
import torch
CATALOG = Catalog.built_in()
resolve.report(CATALOG)
before = set(sys.modules)
print("threads", len(os.listdir("/proc/self/task")), "cuda", torch.cuda.is_initialized())
# what a first training step would still import while somebody waits for it
model = resolve.build_model(CATALOG, "mlp", {}, CATALOG.find("dataset", "blockmnist"))
optimizer = resolve.build_optimizer(CATALOG, "adam", {}, model.parameters())
optimizer.zero_grad()
model(torch.rand(2, 1, 56, 28)).sum().backward()
optimizer.step()
print("late", *sorted(name for name in set(sys.modules) - before if name.startswith("torch")))
sys.stdout.flush()
os._exit(0)
""").splitlines()
    assert said == ["threads 1 cuda False", "late"]


@pytest.mark.slow
def test_a_role_that_does_not_exist_is_refused():
    outcome = subprocess.run(
        [sys.executable, "-m", "densitylab.worker.main", "nonsense"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert outcome.returncode == 2 and "training" in outcome.stderr
