"""Links and files that the pages of a frozen folder ask for."""

import re
from pathlib import PurePosixPath

from densitylab.frontend.frozen.folder import Files
from tests.frontend.report.test_report import Document


def document(files: Files, page: str = "index.html") -> Document:
    return Document(files[page].decode())


def hashes(files: Files) -> dict[int, str]:
    """Return the spec hash of each run in the table of runs."""
    rows = re.findall(r'runs/(\d+)\.html">\d+</a></td>.*class="hash">(\w+)<', files["index.html"].decode())
    return {int(run): text for run, text in rows}


def missing_targets(files: Files) -> list[str]:
    """Return the addresses of all pages that neither name a file of the folder nor hold their content."""
    missing = []
    for page in (name for name in files if name.endswith(".html")):
        for address in document(files, page).loaded:
            path, _, fragment = address.partition("#")
            parts: list[str] = []
            for part in PurePosixPath(page).parent.joinpath(path).parts if path else [page]:
                parts = parts[:-1] if part == ".." else [*parts, part]
            target = "/".join(parts)
            known = target in files and (not fragment or f'id="{fragment}"' in files[target].decode())
            if not known and not re.match(r"data:(,|image/)", address):
                missing.append(f"{page}: {address}")
    return missing
