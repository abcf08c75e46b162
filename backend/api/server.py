"""`python -m densitylab.backend.api.server`: serve the API at its host and port.

With DENSITYLAB_API_PROCESSES above 1, that many of these processes listen at one port, and the kernel distributes the
connections (Linux). With --held it gets ready and waits until its standard input is closed, before it opens anything.
"""

import socket
import sys
from functools import partial

import uvicorn
from pydantic import ValidationError

from densitylab.backend.api.app import create_app
from densitylab.backend.api.http_protocol import BoundedProtocol
from densitylab.backend.shared.settings import Settings, explain

_BACKLOG = 256  # connections accepted at once, before the limit of their number applies
_GRACE = 3  # seconds for open responses to finish


def main() -> str | None:
    """Serve until SIGTERM or SIGINT. Return an invalid setting as a sentence, which ends the process with status 1."""
    try:
        settings = Settings()
    except ValidationError as error:
        return explain(error)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=partial(BoundedProtocol, app.state.connections),  # type: ignore[arg-type]
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE,
        access_log=False,
    )
    if "--held" in sys.argv[1:]:
        sys.stdin.read()
    uvicorn.Server(config).run([_shared_port(settings)] if settings.api_processes > 1 else None)
    return None


def _shared_port(settings: Settings) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(settings.api_host, settings.api_port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=True)


if __name__ == "__main__":
    sys.exit(main())
