"""`pip install densitylab[client]` in a fresh environment: few packages and typed answers.

The packages come from the index that pip is configured for; without one the tests are skipped.
"""

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.end_to_end.test_wheel import PROJECT, ROOT, build, copy_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HEAVY = {"alembic", "fastapi", "fsspec", "numpy", "pandas", "plotly", "pydantic-settings", "sqlalchemy", "streamlit"}
SESSION = Path(__file__).parent / "typed_session.py"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the extra `client` and mypy alone."""
    folder = tmp_path_factory.mktemp("light")
    wheel = build(copy_of(PROJECT, ROOT, folder / "project"), folder / "wheel")
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-q", f"{wheel}[client]", "mypy"]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    if installed.returncode != 0:
        pytest.skip(f"no packages can be installed here: {installed.stderr[-300:]}")
    return folder / "venv" / "bin"


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DENSITYLAB"))}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_it_brings_no_heavy_package(light: Path, tmp_path: Path):
    listed = run(light / "python", "-m", "pip", "list", "--format", "json", folder=tmp_path)
    names = {item["name"].lower().replace("_", "-") for item in json.loads(listed.stdout)}
    assert "densitylab" in names and names & HEAVY == set()
    assert len(names) < 25


def test_answers_have_types(light: Path, tmp_path: Path):
    shutil.copy(SESSION, tmp_path)
    checked = run(light / "python", "-m", "mypy", "--strict", SESSION.name, folder=tmp_path)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "wrong.py").write_text("import densitylab\n\ndensitylab.conect()\ndensitylab.connect().run('1').sed\n")
    refused = run(light / "python", "-m", "mypy", "--strict", "wrong.py", folder=tmp_path).stdout
    assert 'no attribute "conect"; maybe "connect"?' in refused
    assert 'expected "int"' in refused and '"Run" has no attribute "sed"' in refused


@pytest.mark.parametrize("command", ["launch", "runs", "show", "wait", "cancel", "token"])
def test_commands_work_without_other_extras(light: Path, command: str, tmp_path: Path):
    helped = run(light / "densitylab", command, "--help", folder=tmp_path)
    assert helped.returncode == 0 and helped.stdout.startswith(f"usage: densitylab {command}"), helped.stderr


def test_an_api_that_is_down_is_one_sentence(light: Path, tmp_path: Path):
    outcome = run(light / "densitylab", "runs", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert outcome.returncode == 1 and outcome.stderr.startswith("The API at http://127.0.0.1:9 does not answer.")
