"""What was made by requests with an Idempotency-Key. Two callers may use the same key without knowing of each other."""

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import ProblemType
from densitylab.backend.shared.database import now
from densitylab.backend.shared.errors import Conflict
from densitylab.backend.shared.tables import IdempotencyRow

KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Key:
    """The Idempotency-Key of a request, and who sent it; None: without one."""

    caller: Caller
    value: str | None = None


class IdempotencyConflict(Conflict):
    """The same Idempotency-Key with another request, or with one whose answer is not given again."""

    type = ProblemType.IDEMPOTENCY_CONFLICT

    def __init__(self, detail: str = "this Idempotency-Key was used for another request") -> None:
        super().__init__(f"{detail}; take a new key for a new request", "/header/Idempotency-Key")


def recall(session: Session, caller: Caller, key: str, body_hash: str) -> Any:
    """Return what the caller made with this key within the last day; None: nothing.

    Raises:
        IdempotencyConflict: the key came with another request.
    """
    forget(session)
    row = session.get(IdempotencyRow, _stored(caller, key))
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise IdempotencyConflict
    return row.made


def remember(session: Session, caller: Caller, key: str, body_hash: str, made: Any) -> None:
    """Store what was made: JSON, by which the route gives its answer again."""
    session.add(IdempotencyRow(key=_stored(caller, key), body_hash=body_hash, made=made, created_at=now(session)))


def forget(session: Session) -> None:
    """Delete the keys that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT_SECONDS))


def _stored(caller: Caller, key: str) -> str:
    """Return the key as it is stored: of a token, a digest of its number and the key."""
    return key if caller.token is None else hashlib.sha256(f"{caller.token} {key}".encode()).hexdigest()
