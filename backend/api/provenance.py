"""Which code answers: noted in every run that is launched."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def code_version() -> dict[str, str]:
    """The package's version, and the commit where the code is a git checkout."""
    version = {"version": metadata.version("densitylab")}
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return version
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, timeout=5, check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return version  # no git here: the version alone
    return {**version, "commit": found.stdout.strip()}
