"""Bearer tokens: `dl-{id}-{secret}`. Only the SHA-256 of a token is stored; its 256 random bits need no salt."""

import hashlib
import hmac
import re
import secrets
import unicodedata

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.callers import ADMINISTRATOR, LOCAL, Caller
from densitylab.backend.shared.database import now
from densitylab.backend.shared.errors import Conflict
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import TokenRow, WebhookRow

_RESERVED = (ADMINISTRATOR.name, LOCAL.name)
_FORM = re.compile(r"dl-([1-9][0-9]{0,8})-[A-Za-z0-9_-]{43}")


class NameTaken(Conflict):
    """A token's name that another token has, or that means somebody else."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "/name")


def create(session: Session, name: str, *, read_only: bool) -> contracts.NewToken:
    """Create a token; its secret is in the result only.

    Raises:
        NameTaken: the name is reserved, or another token has it, a revoked one included; capitals make no difference.
    """
    name = unicodedata.normalize("NFC", name.strip())
    folded = _folded(name)
    if folded in _RESERVED:
        raise NameTaken(f"{folded!r} is reserved; choose another name")
    if folded in map(_folded, session.scalars(select(TokenRow.name))):
        raise _taken(name)
    row = TokenRow(name=name, digest="", read_only=read_only, created_at=now(session))
    session.add(row)
    try:
        session.flush()
    except IntegrityError:  # another request was first
        raise _taken(name) from None
    token = f"dl-{row.id}-{secrets.token_urlsafe(32)}"
    row.digest = _digest(token)
    return contracts.NewToken(**_answer(row).model_dump(), token=token)


def check(session: Session, token: str, *, changes_all: bool) -> Caller | None:
    """Return who has the token with this secret; None if there is none, or it is revoked."""
    form = _FORM.fullmatch(token)
    row = session.get(TokenRow, int(form.group(1))) if form else None
    if row is None or not hmac.compare_digest(row.digest, _digest(token)) or row.revoked_at is not None:
        return None
    return Caller(row.name, row.id, row.read_only, changes_all)


def caller(session: Session, token_id: int, *, changes_all: bool) -> Caller | None:
    """Return who has the token of this number; None if there is none, or it is revoked."""
    row = session.get(TokenRow, token_id)
    if row is None or row.revoked_at is not None:
        return None
    return Caller(row.name, row.id, row.read_only, changes_all)


def valid(session: Session, caller: Caller) -> bool:
    """Return whether the caller's token, if it has one, is not revoked."""
    if caller.token is None:
        return True
    known = select(TokenRow.id).where(TokenRow.id == caller.token, TokenRow.revoked_at.is_(None))
    return session.scalar(known) is not None


def listing(session: Session) -> list[contracts.Token]:
    """Return every token, including revoked ones, oldest first."""
    return [_answer(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.id))]


def get(session: Session, token_id: int) -> contracts.Token | None:
    row = session.get(TokenRow, token_id)
    return None if row is None else _answer(row)


def revoke(session: Session, token_id: int) -> contracts.Token | None:
    """Revoke the token, and the tokens that it made while every token could; delete the webhooks of all these. What it
    launched and registered stays. Return None if there is no such token."""
    row = session.get(TokenRow, token_id, with_for_update=True)
    if row is None:
        return None
    revoked, new = set[int](), {token_id}
    while new:
        revoked |= new
        new = set(session.scalars(select(TokenRow.id).where(TokenRow.owner_token.in_(new)))) - revoked
    at = now(session)
    session.execute(
        update(TokenRow).where(TokenRow.id.in_(revoked), TokenRow.revoked_at.is_(None)).values(revoked_at=at)
    )
    session.execute(delete(WebhookRow).where(WebhookRow.owner_token.in_(revoked)))
    session.refresh(row)
    return _answer(row)


def forget_revoked(session: Session, before: float, limit: int) -> int:
    """Delete tokens that were revoked before that time, at most `limit`; return their number. Their names are free
    again; audit lines and runs have name and number."""
    old = session.scalars(select(TokenRow.id).where(TokenRow.revoked_at < before).limit(limit)).all()
    session.execute(delete(TokenRow).where(TokenRow.id.in_(old)))
    return len(old)


def _folded(name: str) -> str:
    """Return the form in which names are compared: without differences of capitals, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _taken(name: str) -> NameTaken:
    return NameTaken(f"there is a token {name!r} already, or was: choose another name")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _answer(row: TokenRow) -> contracts.Token:
    return contracts.Token(
        id=row.id,
        name=row.name,
        read_only=row.read_only,
        created_at=to_datetime(row.created_at),
        revoked_at=to_datetime(row.revoked_at),
    )
