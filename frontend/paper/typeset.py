"""The document of a bundle as PDF, by a LaTeX compiler of this machine."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

COMPILERS = ("tectonic", "pdflatex", "xelatex", "lualatex")
SECONDS = 300


class CannotTypeset(Exception):
    """The document cannot be compiled; `str()` is a sentence."""


def compiler() -> str | None:
    """Return the first LaTeX compiler that is installed; None: there is none."""
    return next((name for name in COMPILERS if shutil.which(name)), None)


def typeset(files: Mapping[str, bytes]) -> bytes:
    """Return paper.tex of a bundle's files as PDF.

    Raises:
        CannotTypeset: no compiler is installed, or it fails.
    """
    name = compiler()
    if name is None:
        raise CannotTypeset(f"A PDF needs one of the LaTeX compilers {', '.join(COMPILERS)}; none is installed here.")
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        for command in _commands(name):
            _run(command, folder)
        return Path(folder, "paper.pdf").read_bytes()


def _commands(name: str) -> list[list[str]]:
    if name == "tectonic":
        return [[name, "--untrusted", "paper.tex"]]
    latex = [name, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    return [latex, ["bibtex", "paper"], latex, latex]


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    if done.returncode:
        lines = [
            line for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith(("!", "error"))
        ]
        raise CannotTypeset(f"{command[0]} ended with status {done.returncode}: {' '.join(lines) or 'no reason given'}")
