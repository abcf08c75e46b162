"""`python -m backend.api.server`: serves the API at its host and port.

With DENSITYLAB_API_PROCESSES above 1 the port may be listened at by that many of these, among which the kernel shares
out the connections (Linux).
"""

import socket
import sys

import uvicorn
from pydantic import ValidationError

from backend.api.app import create_app
from backend.shared.settings import Settings, explain

_GRACE = 3  # seconds that answers have to end in


def main() -> str | None:
    """Serves until it is told to stop; a refused setting as a sentence, which ends the process with status 1."""
    try:
        settings = Settings()
    except ValidationError as error:
        return explain(error)
    config = uvicorn.Config(
        create_app, factory=True, host=settings.api_host, port=settings.api_port, timeout_graceful_shutdown=_GRACE,
        access_log=False,
    )
    uvicorn.Server(config).run([_shared_port(settings)] if settings.api_processes > 1 else None)
    return None


def _shared_port(settings: Settings) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(settings.api_host, settings.api_port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address, family=family, backlog=2048, reuse_port=True)


if __name__ == "__main__":
    sys.exit(main())
