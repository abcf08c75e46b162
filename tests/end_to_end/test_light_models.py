"""`load_model` in an environment that has torch and densitylab alone."""

import json
import re
import site
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

from tests.end_to_end.test_light_client import run
from tests.end_to_end.test_wheel import PROJECT, ROOT, build, copy_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPEC = {"model": {"key": "cnn", "params": {"width": 8, "norm": "batch"}}, "epochs": 1, "train_samples": 200}
# Prints the logits of images that need no random numbers, and the packages that were imported
SCRIPT = """
import sys
import densitylab, torch

model = densitylab.load_model(sys.argv[1])
images = torch.linspace(0, 1, 3 * 56 * 28).reshape(3, 1, 56, 28)
with torch.no_grad():
    print([[value.hex() for value in row] for row in model(images).tolist()])
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


def requirements(name: str, found: dict[str, metadata.Distribution] | None = None) -> dict[str, metadata.Distribution]:
    """Return a package of this environment with all that it requires, without extras."""
    found = {} if found is None else found
    try:
        found[name.lower()] = distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return found  # needed on other systems
    for line in distribution.requires or ():
        required = re.match(r"[A-Za-z0-9._-]+", line)
        if required is not None and "extra ==" not in line and required[0].lower() not in found:
            requirements(required[0], found)
    return found


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, its base dependencies and torch's, which are links to those of this
    environment: torch is large."""
    folder = tmp_path_factory.mktemp("light")
    wheel = build(copy_of(PROJECT, ROOT, folder / "project"), folder / "wheel")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    where = "import site; print(site.getsitepackages()[0])"
    packages = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", packages, wheel]
    subprocess.run(pip, check=True, timeout=300)
    needed = {**requirements("torch"), **requirements("pydantic"), **requirements("safetensors")}
    own = [Path(item).resolve() for item in site.getsitepackages()]
    for distribution in needed.values():
        for top in {Path(file).parts[0] for file in distribution.files or ()}:
            source = Path(str(distribution.locate_file(top)))
            if top not in ("..", "__pycache__") and source.parent.resolve() in own and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return folder / "venv" / "bin"


def test_an_exported_model_gives_equal_logits(light: Path, running_system, tmp_path: Path):
    client = running_system.client
    (trained,) = client.wait(client.launch({"spec": {**SPEC, "evaluations": []}}).id)
    folder = client.export(trained.id, tmp_path / "model", ["safetensors"])
    assert {file.name for file in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "spec.yaml"}
    light_run = run(light / "python", "-c", SCRIPT, folder, folder=tmp_path)
    assert light_run.returncode == 0, light_run.stderr
    logits, imported = light_run.stdout.splitlines()
    assert json.loads(imported.replace("'", '"')).count("torch") == 1
    heavy = ("numpy", "sqlalchemy", "fastapi", "streamlit", "httpx", "rq", "redis", "pandas", "torchvision", "PIL")
    assert [name for name in heavy if f"'{name}'" in imported] == []
    here = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"{running_system.api}/api/v1/runs/{trained.id}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert here.returncode == 0, here.stderr
    assert here.stdout.splitlines()[0] == logits  # every bit


def test_the_model_of_a_run_needs_the_client(light: Path, tmp_path: Path):
    outcome = run(light / "python", "-c", SCRIPT, "http://127.0.0.1:9/api/v1/runs/1", folder=tmp_path)
    assert outcome.returncode == 1
    assert "`load_model of a run` needs the extra `client`: pip install 'densitylab[client]'" in outcome.stderr
