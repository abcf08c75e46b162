"""Linters and generators take the OpenAPI document as it is, and the clients that they make work without a cast."""

import json
import os
import shutil
import subprocess
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.systems import RunningSystem, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SESSIONS = Path(__file__).parent / "api_clients"
OPENAPI_TYPESCRIPT = ("openapi.json", "--default-non-nullable=false", "-o", "generated/schema.ts")
HEY_API = ("-i", "openapi.json", "-o", "generated/hey", "-c", "@hey-api/client-fetch")
ORVAL = ("--input", "./openapi.json", "--output", "./generated/orval.ts")
DATAMODEL = (
    *("--input", "openapi.json", "--input-file-type", "openapi", "--output", "models.py"),
    *("--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11"),
    *("--use-annotated", "--set-default-enum-member", "--formatters", "builtin"),
)


@dataclass(frozen=True)
class Workspace:
    """A folder with the document and the installed generators."""

    folder: Path
    python: Path
    system: RunningSystem

    def run(self, *command: str | Path, path: Path | None = None) -> str:
        """Run a command without a failure; return what it printed."""
        environment = {**os.environ, "DENSITYLAB_API_URL": self.system.api, "NO_COLOR": "1"}
        environment["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    def npx(self, tool: str, *arguments: str) -> str:
        return self.run(self.folder / "node_modules" / ".bin" / tool, *arguments)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(SESSIONS, folder, dirs_exist_ok=True)
    venv.create(folder / "venv", with_pip=True)
    (folder / "home").mkdir()
    with started(folder / "home", folder / "system.log", {}) as system:
        workspace = Workspace(folder, folder / "venv" / "bin" / "python", system)
        with urllib.request.urlopen(f"{system.api}/openapi.json") as answer:
            (folder / "openapi.json").write_bytes(answer.read())
        try:
            workspace.run("npm", "install", "--no-audit", "--no-fund")
            workspace.run(workspace.python, "-m", "pip", "install", "--quiet", "-r", "requirements.txt")
        except AssertionError as error:
            pytest.skip(f"the generators cannot be installed here: {str(error)[-300:]}")
        yield workspace


@pytest.mark.parametrize("linter", ["spectral", "redocly"])
def test_the_linters_have_no_remark(workspace: Workspace, linter: str):
    if linter == "spectral":
        printed = workspace.npx(
            "spectral", "lint", "openapi.json", "--ruleset", "spectral.yaml", "--fail-severity=hint"
        )
        assert "No results" in printed
    else:
        printed = workspace.npx("redocly", "lint", "openapi.json")
        assert (
            "Your API description is valid" in printed and "warning" not in printed.partition("validating")[2].lower()
        )


def test_typescript_clients_work_without_a_cast(workspace: Workspace):
    printed = workspace.npx("openapi-typescript", *OPENAPI_TYPESCRIPT)
    printed += workspace.npx("openapi-ts", *HEY_API) + workspace.npx("orval", *ORVAL)
    assert "warn" not in printed.lower(), printed
    workspace.npx("tsc", "-p", ".")
    for session in ("openapi_fetch", "hey_api", "orval"):
        assert " as " not in (SESSIONS / f"{session}.ts").read_text().replace(" as it is", "")
        check(workspace.run("node", f"built/{session}.js"))


def test_the_client_of_openapi_python_client_works_without_a_cast(workspace: Workspace):
    scripts = workspace.python.parent
    generated = workspace.folder / "python_client"
    printed = workspace.run(
        scripts / "openapi-python-client", "generate", "--path", "openapi.json", "--output-path", generated
    )
    assert "warning" not in printed.lower() and "error" not in printed.lower(), printed
    workspace.run(workspace.python, "-m", "mypy", "--strict", "openapi_python_client.py", path=generated)
    workspace.run(scripts / "pyright", "--pythonpath", workspace.python, "openapi_python_client.py", path=generated)
    check(workspace.run(workspace.python, "openapi_python_client.py", path=generated))


def test_models_of_datamodel_code_generator_work_without_a_cast(workspace: Workspace):
    scripts = workspace.python.parent
    printed = workspace.run(scripts / "datamodel-codegen", *DATAMODEL)
    assert "warning" not in printed.lower(), printed
    workspace.run(workspace.python, "-m", "mypy", "--strict", "models.py", "datamodel_code_generator.py")
    workspace.run(scripts / "pyright", "--pythonpath", workspace.python, "models.py", "datamodel_code_generator.py")
    check(workspace.run(workspace.python, "datamodel_code_generator.py"))


def check(printed: str) -> None:
    """Check what a session has seen: results, a curve, maps, and a cancelled run."""
    seen = json.loads(printed.strip().splitlines()[-1])
    assert seen["evaluated"] > 0 and seen["points"] > 1 and seen["bytes"] > 1000
    assert (seen["panels"], seen["cancelled"]) == (4, 1)
