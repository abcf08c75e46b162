"""Exports to other trackers, read by the trackers' own packages: too many to be installed for every test."""

import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READERS = ["mlflow-skinny", "tensorboard", "tensorboardX", "wandb"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_tracker_reads_its_export(tmp_path: Path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    own = sysconfig.get_path("purelib", vars={"base": tmp_path / "venv"})
    # The packages of this environment too, and behind the new ones
    (Path(own) / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = [python, "-m", "pip", "install", "-q", *READERS]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=400)
    if installed.returncode != 0:
        pytest.skip(f"no packages can be installed here: {installed.stderr[-300:]}")
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/frontend/client/test_trackers.py"]
    outcome = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert outcome.returncode == 0 and "skipped" not in outcome.stdout, outcome.stdout[-5000:]
