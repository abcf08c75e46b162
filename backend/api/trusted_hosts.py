"""Refuses requests under a name that is not this server's: a page elsewhere may have had its own point here."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.problems import respond

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]*)?")


class TrustedHosts:
    """ASGI middleware: 400 unless the Host header, less its port, is one of `allowed`; `*.example.org` stands for every
    name below it, `*` for any."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self.app = app
        self._names = frozenset(name.lower() for name in allowed)
        self._endings = tuple(name[1:] for name in self._names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._trusted(Headers(scope=scope).get("host", "")):
            detail = "the Host header names a host that this server does not answer for; see DENSITYLAB_ALLOWED_HOSTS"
            await respond(400, detail)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _trusted(self, header: str) -> bool:
        if "*" in self._names:
            return True
        parsed = _HOST.fullmatch(header.lower())
        return parsed is not None and (parsed[1] in self._names or parsed[1].endswith(self._endings))
