"""The page of `import densitylab`: its names, and the methods of its client, with their docstrings."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import densitylab
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.clients import Routes

FUNCTIONS = ("connect", "connect_async", "to_dataframe", "log_run", "load_model", "marginal_density")


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Python\n"
    yield "`import densitylab` gives functions, a client with methods, and the classes of a [plug-in](../plugins.md).\n"
    yield "## Functions\n"
    for name in FUNCTIONS:
        yield from _function(f"densitylab.{name}", getattr(densitylab, name))
    yield "## Methods of the client\n"
    yield "Of `densitylab.connect()`; those of `connect_async()` are the same, to be awaited.\n"
    for name, method in sorted(_methods()):
        yield from _function(f"client.{name}", method)


def _methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in [*inspect.getmembers(Routes, callable), *inspect.getmembers(ApiClient, inspect.isfunction)]:
        if not name.startswith("_") and method.__doc__ and hasattr(method, "__annotations__"):
            yield name, method


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield f"### {name}\n"
    parameters = [item for item in inspect.signature(function).parameters.values() if item.name != "self"]
    given = inspect.Signature([item.replace(annotation=inspect.Parameter.empty) for item in parameters])
    yield f"```python\n{name}{given}\n```\n"
    yield _markdown(inspect.cleandoc(function.__doc__ or ""))


def _markdown(docstring: str) -> str:
    """Return a docstring with its sections, such as Args, as lists."""
    text, *sections = _SECTION.split(docstring)
    lines = [text.strip(), ""]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        items = [" ".join(item.split()) for item in _ITEM.split(inspect.cleandoc(body))]
        lines += [f"**{_TITLES[title]}**", "", *("- " + _NAME.sub(r"`\1`: ", item) for item in items), ""]
    return "\n".join(lines)


_TITLES = {"Args": "Arguments", "Returns": "Returns", "Yields": "Yields", "Raises": "Raises"}
_SECTION = re.compile(rf"^({'|'.join(_TITLES)}):$", re.MULTILINE)
_ITEM = re.compile(r"\n(?=\S)")  # a line that is not indented; the others go on with the one before
_NAME = re.compile(r"^([\w, *]+): ")
