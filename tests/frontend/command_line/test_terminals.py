"""Terminals that are not UTF-8: every command and log writes all it has, in ASCII where the encoding lacks a letter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import RunPatch

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(240)
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINALS = {
    "C": C_LOCALE,
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}
NOTES = "λ – 中 ±é"
WRITTEN = {
    "C": "lambda - \\u4e2d +/-e",
    "ascii": "lambda - \\u4e2d +/-e",
    "latin-1": "lambda - \\u4e2d ±é",
    "cp1252": "lambda – \\u4e2d ±é",
    "utf-8": NOTES,
}


def python(*arguments: str | bytes, terminal: str, **variables: str) -> tuple[int, str, bytes, str]:
    """Exit code, output as text of that terminal and as bytes, and errors."""
    answer = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **TERMINALS[terminal], **variables},
        capture_output=True,
        timeout=120,
    )
    encoding = "ascii" if terminal == "C" else terminal
    return answer.returncode, answer.stdout.decode(encoding, "replace"), answer.stdout, answer.stderr.decode(encoding)


@pytest.fixture(scope="module")
def run(live_api) -> int:
    (number,) = live_api.launch({"evaluations": []})
    live_api.fail(number, f"failed because of {NOTES}")
    live_api.client.change_run(number, RunPatch(notes=NOTES))
    return number


@pytest.mark.parametrize(
    "terminal", ["C", *(pytest.param(name, marks=pytest.mark.slow) for name in list(TERMINALS)[1:])]
)
def test_commands_write_text_and_data(live_api, run, terminal, tmp_path):
    def command(*arguments: str | bytes) -> tuple[int, str, bytes, str]:
        return python("-m", "densitylab", *arguments, terminal=terminal, DENSITYLAB_API_URL=live_api.url)

    code, output, _, errors = command("show", str(run))
    assert (code, errors) == (0, "")
    assert f"notes     {WRITTEN[terminal]}" in output
    assert command("runs")[::3] == (0, "")
    for arguments in (["runs", "--csv"], ["runs", "--json"], ["show", str(run), "--json"]):
        code, _, content, errors = command(*arguments)
        assert (code, errors) == (0, "") and NOTES in content.decode()
    code, _, content, _ = command("show", str(run), "--json")
    assert json.loads(content)["notes"] == NOTES
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: λ\nspec: {evaluations: []}\n")
    code, output, _, errors = command("launch", str(spec), "--name", "übung λ".encode())
    assert (code, errors) == (0, "")
    assert live_api.client.experiments(limit=1).items[0].name == "übung λ"
    code, _, _, errors = command("launch", str(spec), "--name", "x" * 300)
    assert code == 2 and "at most 200 characters" in errors


@pytest.mark.parametrize("terminal", TERMINALS)
def test_logs_of_services_and_lines_of_the_launcher(terminal):
    code = (
        "import logging; from densitylab.backend.ops import launcher; "
        "from densitylab.backend.shared import log_format; "
        f"log_format.set_up('text'); logging.info({NOTES!a}); launcher._print_line('worker', {NOTES!a})"
    )
    exit_code, output, _, errors = python("-c", code, terminal=terminal)
    assert (exit_code, errors) == (0, "")
    assert output == f"{WRITTEN[terminal]}\nworker      | {WRITTEN[terminal]}\n"
