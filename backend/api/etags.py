"""Entity tags, and the preconditions that name them (RFC 9110, 8.8.3 and 13.1)."""

import hashlib
from typing import Annotated

from fastapi import Header

from densitylab.backend.shared.errors import DomainError

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=1000, description="change only if the ETag of the resource is one of these"),
]


class PreconditionFailed(DomainError):
    """A change of a resource that is not as the caller has read it, by the If-Match header."""

    status = 412

    def __init__(self, header: str) -> None:
        super().__init__(
            "the resource has changed since the ETag was read; read it again, then repeat the change"
            if '"' in header
            else "expected an ETag as it was read, with its quotes, or *",
            "/header/If-Match",
        )


def etag(content: bytes) -> str:
    """Return the tag of a representation."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'  # in hardware: half the time of BLAKE2


def listed(header: str | None, tag: str, *, weak: bool = False) -> bool:
    """Return whether a header names the tag, or `*`; `weak` accepts weak tags too, as If-None-Match does."""
    tags = [item.strip() for item in (header or "").split(",")]
    return tag in tags or tags == ["*"] or (weak and f"W/{tag}" in tags)


def require_match(header: str | None, content: bytes) -> None:
    """Raise PreconditionFailed if the header is there and does not name the tag of the present representation."""
    if header is not None and not listed(header, etag(content)):
        raise PreconditionFailed(header)
