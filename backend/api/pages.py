"""Pages whose items the store has written as JSON already."""

from fastapi import Response
from pydantic_core import to_json


def page(items: bytes, next_cursor: str | None = None) -> Response:
    """A `Page` of a JSON list of items; the route declares its model."""
    body = b'{"items":' + items + b',"next_cursor":' + to_json(next_cursor) + b"}"
    return Response(body, media_type="application/json")
