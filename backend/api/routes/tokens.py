"""API tokens for people and tools; the administrator's own is DENSITYLAB_API_TOKEN."""

from typing import Annotated

from fastapi import Depends, Path, Response
from sqlalchemy.orm import Session

from densitylab.backend.api.authorization import require_administrator
from densitylab.backend.api.dependencies import DatabaseDep, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import NewToken, Token, TokenRequest
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import tokens
from densitylab.backend.shared.store.idempotency import IdempotencyConflict

router = resource_router("access", "/tokens", dependencies=[Depends(require_administrator)])
TokenId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the token")]


class TokenPage(contracts.Page[Token]):
    """A page of tokens."""


@router.get("")
def list_tokens(session: Reading) -> TokenPage:
    """Return every token without its secret."""
    return TokenPage(items=tokens.listing(session))


@router.post("", status_code=201, responses=responses(400, 409, 413, 422))
def create_token(body: TokenRequest, response: Response, database: DatabaseDep, key: IdempotencyKey) -> NewToken:
    """Create a token; only the administrator manages tokens. Its secret is shown in this response only, so
    the same Idempotency-Key again gives 409. Tokens are required if DENSITYLAB_API_TOKEN is set."""
    secrets: dict[int, NewToken] = {}

    def make(session: Session) -> int:
        made = tokens.create(session, body.name, read_only=body.read_only)
        secrets[made.id] = made
        return made.id

    token = once(database, key, {"token": body.model_dump()}, make)
    if token.repeated:
        raise IdempotencyConflict(
            f"this Idempotency-Key made token {token.made}, whose secret is shown once: if you do not have it, revoke "
            "that token"
        )
    answer = secrets[token.made]
    response.headers["Location"] = f"/api/v1/tokens/{answer.id}"
    response.headers["Cache-Control"] = "no-store"
    return answer


@router.get("/{token_id}", responses=responses(404, 422))
def get_token(token_id: TokenId, session: Reading) -> Token:
    """Return a token without its secret."""
    answer = tokens.get(session, token_id)
    if answer is None:
        raise NotFound("token", token_id, "/path/token_id")
    return answer


@router.delete("/{token_id}", responses=responses(404, 422))
def revoke_token(token_id: TokenId, database: DatabaseDep) -> Token:
    """Revoke the token: its requests are refused, its open streams end and its webhooks are deleted. Its runs stay, and
    its name in the audit log."""
    with database.write() as session:
        answer = tokens.revoke(session, token_id)
        if answer is None:
            raise NotFound("token", token_id, "/path/token_id")
    return answer
