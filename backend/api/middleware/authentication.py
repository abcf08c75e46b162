"""Require a valid token before anything of a request's body is read."""

import re

from fastapi.concurrency import run_in_threadpool
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from densitylab.backend.api.authentication import READING, authenticate, authenticate_stream
from densitylab.backend.api.stream_tokens import PATHS
from densitylab.backend.shared.callers import Caller

_PUBLIC = re.compile(r"/(healthz|readyz|openapi\.json|docs(/.*)?|problems/.*)")
_STREAM_TOKENS = "/api/v1/stream-tokens"  # changes nothing


class Authentication:
    """ASGI middleware: set the caller in the request's state; every path but the public ones needs a token.

    Args:
        token: DENSITYLAB_API_TOKEN, the administrator's.
        shared_runs: whether a full token may change what others made.

    Raises:
        DomainError: see `authenticate`.
    """

    def __init__(self, app: ASGIApp, token: SecretStr, *, shared_runs: bool) -> None:
        self.app = app
        self._shared_runs = shared_runs
        self._administrator = token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _PUBLIC.fullmatch(scope["path"]):
            scope.setdefault("state", {})["caller"] = await run_in_threadpool(self._caller, scope)
        await self.app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        database, header = scope["app"].state.database, Headers(scope=scope).get("authorization")
        if header is None and scope["method"] == "GET" and PATHS.fullmatch(scope["path"]):
            token = QueryParams(scope["query_string"]).get("stream_token", "")
            return authenticate_stream(database, self._administrator, token, shared_runs=self._shared_runs)
        scheme, token = get_authorization_scheme_param(header)
        return authenticate(
            database,
            self._administrator,
            token if scheme.lower() == "bearer" else "",
            reading=scope["method"] in READING or scope["path"] == _STREAM_TOKENS,
            shared_runs=self._shared_runs,
        )
