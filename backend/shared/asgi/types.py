"""Types of ASGI applications, as in Starlette.

The API and the page share the middleware beside this file. It needs no web framework, since the workers have none.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this name, which is in lower case; None without one."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
