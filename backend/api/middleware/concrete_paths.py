"""Refuse other methods at paths without parameters: the router would pass them on to a route with one."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from densitylab.backend.api.errors import method_not_allowed


class ConcretePaths:
    """ASGI middleware: 405 for PATCH at `/runs/fields`, which would else be a run with the id "fields".

    Args:
        methods: those of each path without parameters.
    """

    def __init__(self, app: ASGIApp, methods: Mapping[str, set[str]]) -> None:
        self.app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            allowed = self._methods.get(scope["path"])
            if allowed is not None and scope["method"] not in allowed:
                refusal = method_not_allowed(scope["app"], scope["path"], scope["method"])
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
