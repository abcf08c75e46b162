"""Answers that belong to no one resource."""

from typing import Generic, TypeVar

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer
from densitylab.backend.shared.contracts.problems import ProblemType

Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """One page of a listing; `next_cursor` is null on the last one."""

    items: list[Item] = Field(description="the entries, in order")
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; null on the last one")


class Deleted(Answer):
    """Bytes freed by a deletion."""

    bytes: int = Field(description="bytes freed")


class FieldError(Answer):
    """A wrong field of a request."""

    pointer: str = Field(description="JSON pointer to the field: into the body, or /query/…, /path/…, /header/…")
    detail: str = Field(description="what is wrong with the field")


class Problem(Answer):
    """RFC 9457 problem details."""

    type: ProblemType = Field(
        default=ProblemType.OTHER, description="kind of problem; its address has a page that says what to do"
    )
    title: str = Field(description="the HTTP status in words")
    status: int = Field(description="HTTP status")
    detail: str = Field(default="", description="what is wrong")
    errors: list[FieldError] = Field(default_factory=list, description="each wrong field")
