"""Authentication: by DENSITYLAB_API_TOKEN, by a token of POST /tokens, or none on loopback."""

import hmac
import time

from densitylab.backend.api import stream_tokens
from densitylab.backend.shared.callers import ADMINISTRATOR, Caller
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import DomainError
from densitylab.backend.shared.store import tokens

READING = ("GET", "HEAD", "OPTIONS")


class Unauthenticated(DomainError):
    """A request without a valid token."""

    status = 401

    def __init__(self) -> None:
        super().__init__("expected a valid token: Authorization: Bearer TOKEN", headers={"WWW-Authenticate": "Bearer"})


class ReadOnlyToken(DomainError):
    """A change with a read-only token."""

    status = 403

    def __init__(self, name: str) -> None:
        super().__init__(f"the token {name!r} is read-only; this request needs a full token")


def authenticate(database: Database, administrator: bytes, token: str, *, reading: bool, shared_runs: bool) -> Caller:
    """Return the caller.

    Args:
        database: with the tokens of POST /tokens.
        administrator: the administrator's token.
        token: of the request; empty if it has none.
        reading: whether the request changes nothing.
        shared_runs: see DENSITYLAB_SHARED_RUNS.

    Raises:
        Unauthenticated: the token is not valid.
        ReadOnlyToken: the token is read-only and the request changes something.
    """
    if hmac.compare_digest(token.encode("latin-1"), administrator):
        return ADMINISTRATOR
    with database.read() as session:
        known = tokens.check(session, token, changes_all=shared_runs)
    if known is None:
        raise Unauthenticated
    if known.read_only and not reading:
        raise ReadOnlyToken(known.name)
    return known


def authenticate_stream(database: Database, administrator: bytes, token: str, *, shared_runs: bool) -> Caller:
    """Return the caller whose stream token it is. Raises Unauthenticated if it is not valid, or its own is revoked."""
    number = stream_tokens.check(administrator, token, time.time())
    if number == 0:
        return ADMINISTRATOR
    known = None
    if number is not None:
        with database.read() as session:
            known = tokens.caller(session, number, changes_all=shared_runs)
    if known is None:
        raise Unauthenticated
    return known
