"""Refusal of headers that come twice: which of them counts would be a guess."""

from fastapi import Request

from densitylab.backend.shared.errors import InvalidField


def require_single(request: Request, name: str) -> None:
    """Raise InvalidField if a request has a header more than once."""
    if (times := len(request.headers.getlist(name))) > 1:
        raise InvalidField(f"expected one {name}; got {times}", f"/header/{name}")
