"""Every code block of README and docs runs as it stands, in the order of its page, against a running system.

The blocks of one language on a page are one script. A block that cannot run (it installs, needs a second machine, or
is a configuration) says so by its language. `test_client.py` runs docs/notebook.md, and looks at what it makes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import BulkAction, BulkRequest
from densitylab.frontend.client import ApiClient
from tests.end_to_end.systems import RunningSystem
from tests.end_to_end.test_wheel import PROJECT, build, copy_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "notebook.md"})
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMANDS = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"], "r": ["Rscript"]}
SUFFIXES = {"js": ".mjs"}
NOT_RUN = {"text", "nginx", "toml"}
TOOLS = {"js": ("node",), "r": ("Rscript",), "sh": ("bash", "curl"), "python": ()}
PRINTED = {
    "docs/import.md": r"(?m)^PyTorch checkpoint state_dict 10 .*'cnn'.*\n0\.\d+ .*accuracy",
    "docs/log-your-own-training.md": r"(?m)^succeeded( \{'accuracy\.accuracy': 0\.\d+.*)?$",
    "docs/tutorial.md": r"Experiment \d+ \(tutorial\): 12 runs|λ \d+, .* candidates\n.*\n(Yes|No|Undecided)",
    "docs/your-data.md": r"(?m)^images image \[\]\n(.*\n)*y label .*\n\[.*\] \[\]\n\d\.\d+",
    "docs/integrations/curl.md": r"(?s)(\d+\tsucceeded\t.*){2}did you mean epochs\?",
    "docs/integrations/javascript.md": r"(?s)(\d+ succeeded .*){2}succeeded 4\n.*run\.measured",
    "docs/integrations/prefect.md": r"(?m)^0\.\d+$",
    "docs/integrations/python.md": r"(?s)did you mean epochs\?.*\['succeeded', 'succeeded'\]\nrun 1000000 does not",
    "docs/integrations/r.md": r"(?s)run lambda accuracy +leakage.*step.*value",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def script_of(page: Path, language: str) -> str:
    return "\n".join(text for tag, text in BLOCK.findall(page.read_text()) if tag == language)


SCRIPTS = [
    (page, language)
    for page in PAGES
    for language in dict.fromkeys(tag for tag, _ in BLOCK.findall(page.read_text()))
    if language in COMMANDS
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_whether_it_runs(page: Path):
    languages = {tag for tag, _ in BLOCK.findall(page.read_text())}
    assert languages <= COMMANDS.keys() | NOT_RUN


def test_the_integrations_are_there():
    tried = {(name_of(page), language) for page, language in SCRIPTS}
    pages = {"python": "python", "javascript": "js", "r": "r", "curl": "sh", "prefect": "python", "collection": "sh"}
    assert {(f"docs/integrations/{page}.md", language) for page, language in pages.items()} <= tried


def run(page: Path, language: str, folder: Path, api: str, python: Path | str = sys.executable) -> str:
    """Run the blocks of a language; return what they printed. Skips where a tool is not installed."""
    script = script_of(page, language)
    tools = {*TOOLS[language], *(tool for tool in ("jq", "npx") if re.search(rf"\b{tool}\b", script))}
    for tool in sorted(tools):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    file = folder / f"script{SUFFIXES.get(language, '')}"
    file.write_text(script)
    command = [str(python)] if language == "python" else COMMANDS[language]
    environment = {**os.environ, "DENSITYLAB_API_URL": api, "DO_NOT_TRACK": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # has `densitylab`
    environment["PYTHONPATH"] = str(ROOT) if python == sys.executable else ""  # another one has it installed
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300"}
    outcome = subprocess.run(
        [*command, file.name], cwd=folder, env=environment, capture_output=True, text=True, timeout=3500
    )
    if language == "r" and "there is no package called" in outcome.stderr:
        pytest.skip(outcome.stderr.strip().splitlines()[0])
    if "npm error network" in outcome.stderr:
        pytest.skip("npm reaches no registry")
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-4000:]
    return outcome.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("page", "language"), SCRIPTS, ids=lambda item: item if isinstance(item, str) else name_of(item)
)
def test_the_blocks_of_a_page_run(running_system: RunningSystem, page: Path, language: str, tmp_path: Path):
    python = with_prefect(tmp_path) if page.stem == "prefect" else sys.executable
    try:
        printed = run(page, language, tmp_path, running_system.api, python)
    finally:
        cancel_all(running_system.client)
    assert re.search(PRINTED.get(name_of(page), ""), printed), printed
    if page.stem == "collection":
        collection = json.loads((tmp_path / "densitylab.postman_collection.json").read_text())
        assert "v2.1" in collection["info"]["schema"] and len(collection["item"]) > 5


def cancel_all(client: ApiClient) -> None:
    """Cancel what a page has left, for which the next one would wait."""
    left = [run.id for status in ("queued", "running") for run in client.runs(status=status, limit=200).items]
    if left:
        client.act_on_runs(BulkRequest(action=BulkAction.CANCEL, runs=left))


def with_prefect(folder: Path) -> Path:
    """Return the Python of a fresh environment with the client and Prefect, which is no dependency of ours."""
    wheel = build(copy_of(PROJECT, ROOT, folder / "project"), folder / "wheel")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", f"{wheel}[client]", "prefect>=3,<4"]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=1700)
    if installed.returncode != 0:
        pytest.skip(f"Prefect cannot be installed here: {installed.stderr[-300:]}")
    return python
