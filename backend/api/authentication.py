"""Who calls: the bearer of DENSITYLAB_API_TOKEN, of a token that was given out, or anybody on this machine."""

import hmac
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.params import Depends as DependsParameter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend.api.problems import ApiError
from backend.shared.contracts import Token
from backend.shared.settings import Settings
from backend.shared.store import tokens

LOCAL = "local"  # the caller's name where no token is asked for
ADMINISTRATOR = "administrator"  # who has DENSITYLAB_API_TOKEN
_READING = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(auto_error=False, description="DENSITYLAB_API_TOKEN, or a token of POST /api/v1/tokens")


def authenticator(settings: Settings) -> list[DependsParameter]:
    """The dependencies that keep out who has no token; none where DENSITYLAB_API_TOKEN is not set, which the
    settings accept on loopback alone. They note the caller's name in `request.state.caller`."""
    if settings.api_token is None:
        return []
    expected = settings.api_token.get_secret_value().encode()

    def authenticate(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> None:
        credentials = "" if given is None else given.credentials
        if hmac.compare_digest(credentials.encode("latin-1"), expected):
            request.state.caller = ADMINISTRATOR
            return
        known = _known(request, credentials)
        if known is None:
            raise ApiError(
                401, "expected a token that is valid: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if known.read_only and request.method not in _READING:
            raise ApiError(403, f"the token {known.name!r} is read-only; this needs a full one")
        request.state.caller = known.name

    return [Depends(authenticate)]


def _known(request: Request, token: str) -> Token | None:
    with request.app.state.database.read() as session:
        return tokens.check(session, token)
