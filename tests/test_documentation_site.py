"""The documentation site: it builds without a warning, has everything that the code lists, and loads nothing."""

import importlib.util
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from densitylab.backend.api.app import create_app
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.settings import Settings
from densitylab.cli import COMMANDS
from densitylab.frontend.client import ApiClient

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_of_docs_and_the_readme_are_there(site):
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert {path for path in pages if not (site / path).is_file()} == set()
    assert "A web dashboard that shows what image classifiers rely on" in text_of(site / "index.html")
    assert "0.1.0" in text_of(site / "changelog.html")


def test_the_catalog_has_every_entry_and_parameter(site):
    page = (site / "reference" / "catalog.html").read_text(encoding="utf-8")
    catalog = Catalog.built_in()
    entries = [entry for kind in catalog.by_kind for entry in catalog.all(kind)]
    assert [entry.key for entry in entries if f'id="{entry.kind}-{entry.key.replace("_", "-")}"' not in page] == []
    names = {param.name for entry in entries for param in entry.params}
    assert {name for name in names if f"<code>{name}</code>" not in page} == set()


def test_every_command_method_and_operation_is_described(site):
    commands = text_of(site / "reference" / "command-line.html")
    assert [name for name in COMMANDS if f"$ densitylab {name} --help" not in commands] == []
    assert "$ densitylab study report --help" in commands and "usage: densitylab token create" in commands
    python = text_of(site / "reference" / "python.html")
    methods = [
        name for name in ("launch", "wait", "runs", "events", "claim", "launch_study") if hasattr(ApiClient, name)
    ]
    assert len(methods) == 6 and all(f"client.{name}(" in python for name in methods)
    document = create_app(Settings(home=site / "state")).openapi()
    rest = text_of(site / "reference" / "rest.html")
    assert [path for path in document["paths"] if path not in rest] == []


def test_no_page_loads_anything_from_another_host(site):
    loaded = re.compile(
        r"""<(?:script|img|link rel="(?:stylesheet|icon|preconnect)")[^>]*(?:src|href)=["']?https?://"""
    )
    assert [page.name for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []
