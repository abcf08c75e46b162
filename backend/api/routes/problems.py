"""Pages about the kinds of problems."""

import re
from functools import cache
from html import escape
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from densitylab.backend.api.docs import PROBLEMS
from densitylab.backend.api.errors import responses
from densitylab.backend.shared.contracts import ProblemType
from densitylab.backend.shared.errors import NotFound

router = APIRouter(prefix="/problems", tags=["health"])
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@router.get(
    "/{name}",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **responses(404, 422)},
)
def explain_problem(
    name: Annotated[str, Path(pattern=r"^[a-z-]+$", max_length=64, description="last part of a problem's type")],
) -> HTMLResponse:
    """Return a page that says what a kind of problem means and what to do. It needs no token."""
    text = explanations().get(name)
    if text is None:
        names = ", ".join(kind.rpartition("/")[2] for kind in ProblemType if kind != ProblemType.OTHER)
        raise NotFound("problem", f"{name} (there are {names})", "/path/name")
    paragraphs = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n"))
    return HTMLResponse(f"<!doctype html><html lang=en><title>{name}</title><h1>{name}</h1>{paragraphs}</html>")


@cache
def explanations() -> dict[str, str]:
    """Return the text of every section of problems.md by its heading."""
    _, *parts = _HEADING.split(PROBLEMS.read_text("utf-8"))
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
