"""First answers to launches, by Idempotency-Key."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.shared.database import now
from backend.shared.tables import IdempotencyRow

KEPT_SECONDS = 24 * 3600.0


class KeyReused(ValueError):
    """The same Idempotency-Key came with another body."""


def recall(session: Session, key: str, body_hash: str) -> int | None:
    """The experiment that this key launched within the last day. Raises KeyReused where the body differs."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT_SECONDS))
    row = session.get(IdempotencyRow, key)
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise KeyReused("this Idempotency-Key was used for another request; take a new key for a new request")
    return row.experiment_id


def remember(session: Session, key: str, body_hash: str, experiment_id: int) -> None:
    session.add(IdempotencyRow(key=key, body_hash=body_hash, experiment_id=experiment_id, created_at=now(session)))
