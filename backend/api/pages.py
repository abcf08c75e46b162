"""Answers that are JSON already; their routes declare the models."""

from fastapi import Response
from pydantic_core import to_json


def written(content: bytes | str) -> Response:
    """JSON as it goes out: FastAPI would validate a model once more, in another turn of a thread."""
    return Response(content, media_type="application/json")


def page(items: bytes, next_cursor: str | None = None) -> Response:
    """A `Page` of a JSON list of items."""
    return written(b'{"items":' + items + b',"next_cursor":' + to_json(next_cursor) + b"}")
