"""Pages of the documentation site that are not files of docs: README and its neighbours, and what the code lists.

MkDocs calls `on_files` when it builds the site (mkdocs.yml, `hooks`).
"""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import catalog_page
import command_line_page
import python_page
import rest_page

ROOT = Path(__file__).parents[2]
AT_THE_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
WRITTEN = {
    "reference/catalog.md": catalog_page.page,
    "reference/command-line.md": command_line_page.page,
    "reference/python.md": python_page.page,
    "reference/rest.md": rest_page.page,
}
PICTURES = {"logo.svg": "frontend/logo.svg", "icon.png": "frontend/icon.png"}
_LINK = re.compile(r"\]\(((?:\.\./)*)([\w./-]+)(#[\w-]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the pictures."""
    for file in files.documentation_pages():
        file.content_string = _moved(file.content_string)
    for name, target in AT_THE_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=_moved(text.replace("](docs/", "]("))))
    for target, page in WRITTEN.items():
        files.append(File.generated(config, target, content=page()))
    for target, source in PICTURES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def _moved(text: str) -> str:
    """Return Markdown whose links to files at the root, such as ../README.md, lead to their pages."""

    def link(found: re.Match[str]) -> str:
        up, path, anchor = found.groups()
        target = AT_THE_ROOT.get(path)
        if target is None:
            return found[0]
        return f"]({up.replace('../', '', 1)}{target}{anchor or ''})"

    return _LINK.sub(link, text)
