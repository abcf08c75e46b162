"""The locked packages: requirements.txt has what a system needs, in the versions of constraints.txt, with hashes."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n    --hash=.*)*)", (ROOT / "requirements.txt").read_text(), re.M)
TESTED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def direct(extra: str) -> set[str]:
    """Return the packages that an extra names, also by other extras of ours."""
    names = set()
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            names |= {name for other in requirement.extras for name in direct(other)}
        else:
            names.add(canonicalize_name(requirement.name))
    return names


def test_each_file_has_a_hash():
    assert len(LOCKED) > 100
    assert [name for name, _, rest in LOCKED if not re.search(r"--hash=sha256:[0-9a-f]{64}", rest)] == []


def test_the_versions_are_those_that_were_tested():
    tested = {canonicalize_name(name): version for name, version in TESTED.items()}
    assert {name: version for name, version, _ in LOCKED if tested.get(name, version) != version} == {}
    elsewhere = {name for name, _, rest in LOCKED if name not in tested and " ; " not in rest.splitlines()[0]}
    assert elsewhere <= {"setuptools"}, "run make lock"  # constraints.txt leaves the installers out


def test_every_dependency_of_a_system_is_locked():
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    needed |= direct("all") | direct("s3") | direct("login") | direct("tracing")
    assert needed - {name for name, _, _ in LOCKED} == set(), "run make lock"
