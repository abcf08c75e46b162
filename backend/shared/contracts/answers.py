"""Answers that belong to no one resource."""

from typing import Any

from pydantic import Field

from backend.shared.contracts.fields import Answer


class Page(Answer):
    """One page of a listing; `next_cursor` is null on the last one."""

    items: list[Any]
    next_cursor: str | None = None


class Deleted(Answer):
    bytes: int  # freed


class FieldError(Answer):
    pointer: str  # JSON pointer into the request
    detail: str


class Problem(Answer):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] = Field(default_factory=list)
