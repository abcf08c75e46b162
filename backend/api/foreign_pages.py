"""Refuses changes that a page of another site has the user's browser ask for, where no token would stop them."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.problems import respond

_READING = ("GET", "HEAD", "OPTIONS")
_OWN = ("same-origin", "none")  # none: the user's own doing, such as an address typed in


class ForeignPages:
    """ASGI middleware: 403 by what browsers say of the page that asks (Sec-Fetch-Site, and Origin where a browser is
    too old for it). Callers that are no browsers say neither, and pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _READING and _foreign(Headers(scope=scope)):
            await respond(403, "a page of another site asked for this; without a token such pages change nothing")(
                scope, receive, send
            )
            return
        await self.app(scope, receive, send)


def _foreign(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in _OWN
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
