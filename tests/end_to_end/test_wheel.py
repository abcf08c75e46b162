"""The built wheel in a fresh environment outside of the repository, among packages named as our folders are."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.end_to_end.systems import RunningSystem, started

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "densitylab", "backend", "worker", "frontend")
pytestmark = pytest.mark.timeout(600)

# What a user does, in a folder with a `backend`, a `worker` and a `frontend` of their own
SCRIPT = """
import json, sys
import torch
import densitylab

client = densitylab.connect()
runs = client.wait(client.launch({"name": "from the wheel", "spec": json.loads(sys.argv[1])}).id, timeout=300)
model = densitylab.load_model(client, runs[0].id)
shape = model(torch.rand(2, *json.loads(sys.argv[2]))).shape
print(json.dumps({
    "run": runs[0].id,
    "file": densitylab.__file__,
    "version": densitylab.__version__,
    "status": runs[0].status.value,
    "error": runs[0].error,
    "results": sorted(runs[0].results),
    "logits": list(shape),
}))
"""
SMALL = {"epochs": 1, "train_samples": 200, "evaluations": [], "device": "cpu"}
PLUGIN = {
    "dataset": {"key": "stripes"},
    "model": {"key": "cifar_resnet", "params": {"n": 1}},
    "regularizer": {"key": "elastic_net"},
    "lambda_": 0.01,
    "epochs": 1,
    "evaluations": [{"key": "noise_accuracy"}],
    "device": "cpu",
}


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel and the example plug-in; dependencies are those of the present one."""

    site: Path
    bin: Path


def copy_of(names: tuple[str, ...], source: Path, target: Path) -> Path:
    """A copy without what earlier builds left, links as links."""
    leftovers = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    target.mkdir()
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, symlinks=True, ignore=leftovers)
        else:
            shutil.copy(source / name, target / name)
    return target


def build(source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", target, source]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = target.glob("*.whl")
    return wheel


def content(wheel: Path) -> dict[str, int]:
    """Check sums by name, of all but the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {item.filename: item.CRC for item in archive.infolist() if ".dist-info/" not in item.filename}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(PROJECT, ROOT, tmp_path_factory.mktemp("source") / "project")


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(project, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installation")
    example = copy_of(("pyproject.toml", "densitylab_example"), ROOT / "examples" / "plugin", folder / "plugin")
    plugin = build(example, folder / "wheel")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel, plugin],
        check=True,
        timeout=120,
    )
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
    # Last on the path, and a line of a .pth file does not run the .pth files there, such as that of the checkout
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Installation(site, python.parent)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A user's folder with packages that raise when they are imported; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="dl-") as name:
        for package in ("backend", "frontend", "worker"):
            (Path(name) / package).mkdir()
            (Path(name) / package / "__init__.py").write_text("raise RuntimeError('this is not DensityLab')\n")
        (Path(name) / "script.py").write_text(SCRIPT)
        yield Path(name)


@pytest.fixture(scope="module")
def system(
    installation: Installation, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSystem]:
    """`densitylab up` in the user's folder, which is also on the path of every service."""
    log = tmp_path_factory.mktemp("system") / "log.txt"
    with started(folder, log, {"PYTHONPATH": str(folder)}, [str(installation.bin / "densitylab"), "up"]) as running:
        yield running
        assert "this is not DensityLab" not in log.read_text()
        assert "usage statistics" not in log.read_text()  # the page's configuration was read


def test_the_wheel_holds_every_file_that_runs(wheel: Path, project: Path):
    wanted = {
        f"densitylab/{file.relative_to(project)}"
        for room in ("backend", "worker", "frontend")
        for file in (project / room).rglob("*")
        if file.is_file() and file.name != "Dockerfile"
    }
    wanted |= {f"densitylab/{file.name}" for file in (project / "densitylab").glob("*") if file.is_file()}
    assert content(wheel).keys() == wanted
    for name in ("py.typed", "frontend/.streamlit/config.toml", "frontend/icon.png", "worker/datasets/digits.npz"):
        assert f"densitylab/{name}" in wanted


@pytest.mark.slow
def test_a_source_distribution_gives_the_same_wheel(wheel: Path, project: Path, tmp_path: Path):
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=project, check=True, capture_output=True, timeout=120)
    (source,) = tmp_path.glob("*.tar.gz")
    assert content(build(source, tmp_path)) == content(wheel)


@pytest.mark.parametrize(
    ("spec", "image", "classes", "result"),
    [(SMALL, [1, 56, 28], 10, "accuracy.accuracy"), (PLUGIN, [1, 16, 16], 2, "noise_accuracy.accuracy")],
    ids=["built in", "plug-in"],
)
@pytest.mark.few(1)
def test_a_run_from_a_script_among_foreign_packages(
    system: RunningSystem,
    installation: Installation,
    folder: Path,
    spec: dict,
    image: list[int],
    classes: int,
    result: str,
):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    outcome = subprocess.run(
        [installation.bin / "python", folder / "script.py", json.dumps(spec), json.dumps(image)],
        cwd=folder,
        env={**environment, "DENSITYLAB_API_URL": system.api},
        capture_output=True,
        text=True,
        timeout=360,
    )
    assert outcome.returncode == 0, outcome.stderr
    answer = json.loads(outcome.stdout)
    assert answer["status"] == "succeeded", answer["error"]
    assert Path(answer["file"]).is_relative_to(installation.site)
    assert result in answer["results"] and answer["logits"] == [2, classes]
    command = [installation.bin / "densitylab", "show", str(answer["run"]), "--url", system.api]
    assert "succeeded" in subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_folders_are_those_of_the_wheel(installation: Installation):
    code = (
        "from densitylab import backend as b, frontend as f, worker as w; print(*b.__path__, *f.__path__, *w.__path__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    outcome = subprocess.run(
        [installation.bin / "python", "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert all(Path(path).is_relative_to(installation.site) for path in outcome.stdout.split())


@pytest.mark.browser
def test_the_plug_in_appears_in_the_form(system: RunningSystem, browser: Browser):
    with browser.new_context() as context:
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.goto(f"{system.page}/launch")
        choice = tab.get_by_role("combobox", name="Regularizer").first
        choice.wait_for()
        tab.locator("[data-test-script-state=notRunning]").wait_for()  # a rerun would close the list
        choice.click()
        choice.fill("Elastic")
        tab.get_by_role("option", name="Elastic input gradient").wait_for()
