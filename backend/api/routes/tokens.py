"""Tokens for people and tools; the administrator's own is DENSITYLAB_API_TOKEN."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend.api.dependencies import DatabaseDep, Reading
from backend.api.problems import not_found, responses
from backend.shared import contracts
from backend.shared.contracts import NewToken, Token, TokenRequest
from backend.shared.store import tokens

router = APIRouter(prefix="/tokens", tags=["access"])


class TokenPage(contracts.Page):
    items: list[Token]


@router.get("")
def list_tokens(session: Reading) -> TokenPage:
    """Every token that was given out, without what would let anybody in."""
    return TokenPage(items=tokens.listing(session))


@router.post("", status_code=201, responses=responses(400, 413, 422))
def create_token(body: TokenRequest, response: Response, database: DatabaseDep) -> NewToken:
    """A new token, told in this answer alone. Tokens are asked for where DENSITYLAB_API_TOKEN is set."""
    with database.write() as session:
        answer = tokens.create(session, body.name, read_only=body.read_only)
    response.headers["Location"] = f"/api/v1/tokens/{answer.id}"
    response.headers["Cache-Control"] = "no-store"
    return answer


@router.delete("/{token_id}", responses=responses(404, 422))
def revoke_token(token_id: Annotated[int, Path(ge=1, le=2**31 - 1)], database: DatabaseDep) -> Token:
    """Nobody gets in with it from now on. Its name stays, for the audit."""
    with database.write() as session:
        answer = tokens.revoke(session, token_id)
        if answer is None:
            raise not_found("token", token_id, "/path/token_id")
    return answer
