"""Version of the running code; recorded in every run that is launched."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def code_version() -> dict[str, str]:
    """Return the package's version, and the commit if the code is a git checkout."""
    version = {"version": metadata.version("densitylab")}
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return version
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return version  # git is not installed: the version alone
    return {**version, "commit": described.stdout.strip()}
