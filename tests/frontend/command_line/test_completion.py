"""Completion in real shells."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BASH = """
eval "$(densitylab completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDS=($1)
_python_argcomplete densitylab
printf '%s\\n' "${COMPREPLY[@]}"
"""
CASES = [
    ("densitylab la", {"launch"}),
    ("densitylab ", {"launch", "runs", "up", "completion"}),
    ("densitylab runs --status s", {"succeeded"}),
    ("densitylab launch --dry", {"--dry-run"}),
    ("densitylab token ", {"create", "list", "revoke"}),
    ("densitylab study ", {"run", "status", "report"}),
    ("densitylab study run leakage --size m", {"minutes"}),
    ("densitylab export 1 --format c", {"csv"}),
    ("densitylab completion f", {"fish"}),
    ("densitylab up --", set()),  # starts nothing
    ("densitylab nosuch --", set()),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with the command `densitylab`, as an installation makes it."""
    command = tmp_path / "densitylab"
    root, python = shlex.quote(str(ROOT)), shlex.quote(sys.executable)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {python} -m densitylab "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.mark.parametrize(("line", "wanted"), CASES)
@pytest.mark.few(3)
def test_bash(environment: dict[str, str], line: str, wanted: set[str]):
    outcome = subprocess.run(
        ["bash", "-c", BASH, "bash", line], env=environment, capture_output=True, text=True, timeout=60
    )
    completed = set(outcome.stdout.split())
    assert wanted <= completed and (wanted or not completed)


@pytest.mark.parametrize(("line", "wanted"), [case for case in CASES if case[1]])
def test_fish(environment: dict[str, str], line: str, wanted: set[str]):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = 'densitylab completion fish | source; complete -C "$argv[1]"'
    outcome = subprocess.run(["fish", "-c", script, line], env=environment, capture_output=True, text=True, timeout=60)
    assert wanted <= {name.partition("\t")[0] for name in outcome.stdout.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(environment: dict[str, str], shell: str):
    outcome = subprocess.run(
        ["densitylab", "completion", shell], env=environment, capture_output=True, text=True, timeout=60
    )
    assert outcome.returncode == 0 and "_ARGCOMPLETE" in outcome.stdout and "densitylab" in outcome.stdout
