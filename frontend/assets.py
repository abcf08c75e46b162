"""Templates, styles and scripts beside the code. Paths are relative to the frontend folder."""

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

_FOLDER = Path(__file__).parent


@functools.cache
def read_asset(path: str) -> str:
    """Return the text of a style sheet or script."""
    return (_FOLDER / path).read_text(encoding="utf-8")


def template(path: str) -> Template:
    """Return a Jinja template; it escapes HTML."""
    return _environment().get_template(path)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
