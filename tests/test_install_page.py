"""The documents never install DensityLab by its name from an index, and name extras and versions that exist."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALL = (ROOT / "docs" / "install.md").read_text()
# After `pip install` or `uvx`, the name without a file, a folder or a repository
BY_NAME = re.compile(
    r"(?:pip install|uvx|uv add|uv tool install|pipx (?:run|install))"
    r"[^`\n]*[ \"']densitylab(?:\[[\w,-]*\])?[\"'` =<>~!]"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_installs_the_name_from_an_index(page: Path):
    found = [line for line in page.read_text().splitlines() if BY_NAME.search(line)]
    allowed = ("--from ", " @ git+", "When a message of the product suggests")
    assert [line for line in found if not any(form in line for form in allowed)] == []


def test_the_search_finds_the_name():
    for line in (
        'pip install "densitylab[all]"',
        "pip install densitylab",
        "uvx densitylab up",
        "pip install -U densitylab==0.3.0",
    ):
        assert BY_NAME.search(f"{line} ")
    for line in ('pip install "dist/densitylab-0.3.0-py3-none-any.whl[all]"', 'pip install ".[client]"'):
        assert not BY_NAME.search(f"{line} ")


def test_the_extras_and_the_version_exist():
    extras = set(PROJECT["optional-dependencies"])
    table = INSTALL[INSTALL.index("| extra |") : INSTALL.index("When a message")]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named <= extras and extras - named == {"shared", "launcher", "optuna", "docs", "dev"}
    assert set(re.findall(r"densitylab-(\d+\.\d+\.\d+)-py3", INSTALL)) == {PROJECT["version"]}
    assert set(re.findall(r"@v(\d+\.\d+\.\d+)", INSTALL)) == {PROJECT["version"]}
