"""Responses whose content is JSON already; their routes declare the models."""

from typing import Any

from fastapi import Response
from pydantic_core import to_json


def response(content: bytes | str) -> Response:
    """Return the JSON as it is: FastAPI would validate a model again, in another thread."""
    return Response(content, media_type="application/json")


def page(items: bytes, next_cursor: str | None = None, **others: Any) -> Response:
    """Return a `Page` of a JSON list of items, with its other fields."""
    return response(b'{"items":' + items + b"," + to_json({"next_cursor": next_cursor, **others})[1:])
