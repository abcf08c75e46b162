"""Refuse requests for other host names, which protects against DNS rebinding."""

import logging
import re
from collections.abc import Sequence

from densitylab.backend.shared.asgi.types import App, Receive, Scope, Send, header

logger = logging.getLogger(__name__)
REFUSAL = "the Host header names a host that this server does not serve; see DENSITYLAB_ALLOWED_HOSTS"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]*)?")
_LOGGED = 100  # characters of a host in the log


class TrustedHosts:
    """ASGI middleware: refuse HTTP requests and WebSockets whose Host header, without its port, is none of `allowed`.

    Args:
        allowed: `*.example.org` allows every name below it, `*` any. The address at which a connection arrives is
            always allowed: a foreign name that leads to it is still a name.
        refusal: answers an HTTP request that is refused.
    """

    def __init__(self, app: App, allowed: Sequence[str], refusal: App) -> None:
        self.app = app
        self._refusal = refusal
        self._names = frozenset(name.lower() for name in allowed)
        self._endings = tuple(name[1:] for name in self._names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._trusted(scope):
            await self.app(scope, receive, send)
            return
        logger.warning("refused a request for the host %r", (header(scope, b"host") or "")[:_LOGGED])
        if scope["type"] == "http":
            await self._refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})

    def _trusted(self, scope: Scope) -> bool:
        if "*" in self._names:
            return True
        parsed = _HOST.fullmatch((header(scope, b"host") or "").lower())
        if parsed is None:
            return False
        host, (address, _) = parsed[1], scope.get("server") or ("", None)
        own = address.removeprefix("::ffff:")  # of an IPv4 connection to a server that listens at ::
        return host in self._names or host.endswith(self._endings) or host.strip("[]") == own
