"""Requests that make something once, however often they are sent with the same Idempotency-Key."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from densitylab.backend.shared import specs
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import idempotency
from densitylab.backend.shared.store.idempotency import IdempotencyConflict, Key

Made = TypeVar("Made")


@dataclass(frozen=True)
class Once(Generic[Made]):
    """The result of a request; `repeated` if an earlier request with its key has made it."""

    made: Made
    repeated: bool


def once(database: Database, key: Key, request: Any, make: Callable[[Session], Made]) -> Once[Made]:
    """Return what `make` returns in a transaction that writes, or what it returned for the same request before.

    Args:
        database: where both are stored together.
        key: without a value, every request makes something.
        request: JSON that differs between different requests, of one route and of several.
        make: returns JSON, such as an id. Called again if another request comes between.

    Raises:
        IdempotencyConflict: the key came with another request within a day.
    """
    try:
        return _once(database, key, request, make)
    except IntegrityError:
        # Another request used this key first, or made the same: its rows are visible now
        return _once(database, key, request, make)


class DeletedSince(IdempotencyConflict):
    """A repeated request whose first one made what was deleted since."""

    def __init__(self, made: str) -> None:
        super().__init__(f"{made}, made by the first request with this Idempotency-Key, does not exist any more")


class _Repeated(Exception):
    """Raised to end the transaction of a repeated request, which changes nothing; has what the earlier one made."""

    def __init__(self, made: Any) -> None:
        super().__init__(made)
        self.made = made


def _once(database: Database, key: Key, request: Any, make: Callable[[Session], Made]) -> Once[Made]:
    try:
        with database.write() as session:
            if key.value is None:
                return Once(make(session), repeated=False)
            digest = specs.content_hash(request)
            earlier = idempotency.recall(session, key.caller, key.value, digest)
            if earlier is not None:
                raise _Repeated(earlier)
            made = make(session)
            idempotency.remember(session, key.caller, key.value, digest, made)
            return Once(made, repeated=False)
    except _Repeated as repeated:
        return Once(repeated.made, repeated=True)
