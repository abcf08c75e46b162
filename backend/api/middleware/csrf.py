"""Refuse cross-site requests that would change something, where no token protects the API."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from densitylab.backend.api.authentication import READING
from densitylab.backend.api.errors import respond

_SAME_SITE = ("same-origin", "none")  # none: started by the user, such as a typed address


class CsrfProtection:
    """ASGI middleware: 403 by the headers that browsers set: Sec-Fetch-Site, or Origin in old browsers. Other clients
    set neither, and pass.

    Args:
        origins: whose pages may change something.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in READING and self._refused(Headers(scope=scope)):
            await respond(
                403, "refused a request from a page of another site: without a token, such pages cannot change anything"
            )(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refused(self, headers: Headers) -> bool:
        return headers.get("origin") not in self._origins and _cross_site(headers)


def _cross_site(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in _SAME_SITE
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
