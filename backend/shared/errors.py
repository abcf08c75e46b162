"""Refusals of a request, each with its HTTP status and a JSON pointer to each wrong field."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from densitylab.backend.shared.contracts import FieldError, ProblemType


class DomainError(Exception):
    """A request that cannot be served.

    Args:
        detail: the cause, and what to do about it.
        pointer: JSON pointer to the wrong field; None if no single field is wrong.
        headers: of the response.
    """

    status: ClassVar[int]
    type: ClassVar[ProblemType | None] = None
    """The kind of problem; None: that of the status."""

    def __init__(self, detail: str, pointer: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = [] if pointer is None else [FieldError(pointer=pointer, detail=detail)]
        self.headers = headers


class NotFound(DomainError):
    """Something that does not exist or was deleted; `pointer` points to where the request named it."""

    status = 404

    def __init__(self, kind: str, name: int | str, pointer: str) -> None:
        super().__init__(f"{kind} {name} does not exist; it may have been deleted", pointer)


class Conflict(DomainError):
    """A well-formed request that the present state does not allow."""

    status = 409


class InvalidRequest(DomainError):
    """Wrong fields; `errors` names each with a JSON pointer."""

    status = 422

    def __init__(self, errors: Sequence[FieldError]) -> None:
        first = f"{errors[0].pointer or 'the body'}: {errors[0].detail}"
        super().__init__(first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)")
        self.errors = list(errors)

    def __str__(self) -> str:
        return "; ".join(f"{error.pointer}: {error.detail}" for error in self.errors)


class InvalidField(InvalidRequest):
    """One wrong field."""

    def __init__(self, detail: str, pointer: str) -> None:
        super().__init__([FieldError(pointer=pointer, detail=detail)])


class NotInstalled(DomainError):
    """A request that needs an optional package of the server."""

    status = 501

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a package that is not installed: pip install 'densitylab[{extra}]' for the API")
