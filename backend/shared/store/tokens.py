"""Bearer tokens: `dl-{id}-{secret}`. Only the SHA-256 of a token is stored; its 256 random bits need no salt."""

import hashlib
import hmac
import re
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.database import now
from backend.shared.store.times import moment
from backend.shared.tables import TokenRow

_FORM = re.compile(r"dl-([1-9][0-9]{0,8})-[A-Za-z0-9_-]{43}")


def create(session: Session, name: str, *, read_only: bool) -> contracts.NewToken:
    """A new token; what it is can be told now and never again."""
    row = TokenRow(name=name, digest="", read_only=read_only, created_at=now(session))
    session.add(row)
    session.flush()
    token = f"dl-{row.id}-{secrets.token_urlsafe(32)}"
    row.digest = _digest(token)
    return contracts.NewToken(**_answer(row).model_dump(), token=token)


def check(session: Session, token: str) -> contracts.Token | None:
    """Whose token this is; None for one that was never given out, or is revoked."""
    form = _FORM.fullmatch(token)
    row = session.get(TokenRow, int(form.group(1))) if form else None
    if row is None or not hmac.compare_digest(row.digest, _digest(token)) or row.revoked_at is not None:
        return None
    return _answer(row)


def listing(session: Session) -> list[contracts.Token]:
    """Every token, revoked ones too, oldest first."""
    return [_answer(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.id))]


def revoke(session: Session, token_id: int) -> contracts.Token | None:
    """From now on nobody gets in with it; one that is revoked already stays so."""
    row = session.get(TokenRow, token_id, with_for_update=True)
    if row is None:
        return None
    if row.revoked_at is None:
        row.revoked_at = now(session)
    return _answer(row)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _answer(row: TokenRow) -> contracts.Token:
    return contracts.Token(
        id=row.id, name=row.name, read_only=row.read_only, created_at=moment(row.created_at),
        revoked_at=moment(row.revoked_at),
    )
