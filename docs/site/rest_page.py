"""The page of all operations of the REST API, from its OpenAPI document."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densitylab.backend.api.app import create_app
from densitylab.backend.shared.settings import Settings

_METHODS = ("get", "post", "put", "patch", "delete")  # HEAD is where GET is


def page() -> str:
    """Return the page in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        document = create_app(Settings(home=Path(folder))).openapi()
    return "\n".join(_lines(document))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield "# Operations of the API\n"
    yield "A running system has the same with schemas and examples at `/docs`, and as a document at `/openapi.json`.\n"
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if operation := operations.get(method):
                by_tag.setdefault(operation["tags"][0], []).extend(_operation(method, path, operation))
    for tag, lines in by_tag.items():
        yield f"## {tag}\n"
        yield from lines


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"`{method.upper()} {path}`{' (deprecated)' if operation.get('deprecated') else ''}\n"
    yield f"{operation.get('description', '')}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | meaning |"
        yield "| --- | --- | --- |"
        for parameter in parameters:
            meaning = " ".join(parameter.get("description", "").split()).replace("|", "\\|")
            yield f"| `{parameter['name']}` | {parameter['in']} | {meaning} |"
        yield ""
