"""Serve files of sessions to users alone: Streamlit answers these paths without asking for a login."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from densitylab.frontend.login_file import LoginFile, LoginRefused

_GUARDED = ("/media/", "/_stcore/upload_file/")  # pictures and downloads of all sessions; uploads


class LoginGuard:
    """ASGI middleware: refuse requests for files that have no cookie of a user whom the login file names.

    Args:
        file: with the users, and the key of the cookies.
    """

    def __init__(self, app: ASGIApp, file: LoginFile) -> None:
        self.app = app
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED) and not self._admits(scope):
            await PlainTextResponse("log in first", 401)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        try:
            self._file.user(self._claims(HTTPConnection(scope).cookies))
        except LoginRefused:
            return False
        return True

    def _claims(self, cookies: Mapping[str, str]) -> dict[str, Any]:
        secret = self._file.auth.cookie_secret.get_secret_value()

        def decoded(name: str) -> bytes | None:
            signed = cookies.get(name)
            return None if signed is None else decode_signed_value(secret, name, signed)

        claims: dict[str, Any] = json.loads(get_cookie_with_chunks(decoded, USER_COOKIE_NAME) or b"{}")
        return claims
