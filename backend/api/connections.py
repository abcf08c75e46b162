"""The open connections of an API process: when there are too many, those that wait for their clients are closed."""

import logging
import resource
import time
from collections import OrderedDict
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

logger = logging.getLogger(__name__)
REASONS = (
    "connections",
    "descriptors",
    "headers",
    "slow headers",
    "slow body",
    "unread body",
    "slow reader",
    "invalid",
)
_FREE_DESCRIPTORS = 128  # for files, the database and the broker
_LOG_SECONDS = 10.0  # between two lines of one reason


def descriptors() -> int:
    """Return the number of file descriptors that this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Connection(Protocol):
    """An open connection. `address`: of its client, see `client_address`."""

    address: str

    def refuse(self, status: int, reason: str) -> None:
        """Close the connection, with this status if no response has begun."""
        ...


class Connections:
    """Bounds the number of connections and counts why they were closed.

    A new connection beyond the limit replaces the one that has been silent for longest, of the address that has most
    of those whose requests are not complete. So clients that send half a request do not keep others out.

    Args:
        limit: of open connections.
        descriptors: file descriptors that the process may open; 128 of them are not used for connections.
        registry: of the counter.
    """

    def __init__(self, limit: int, descriptors: int, registry: CollectorRegistry) -> None:
        self._limit, self._descriptors = limit, descriptors
        self._number = 0
        self._waiting: dict[str, OrderedDict[Connection, None]] = {}  # by address, the longest silent first
        self._refused = Counter(
            "densitylab_refused_connections", "Connections that the API closed.", ["reason"], registry=registry
        )
        for reason in REASONS:
            self._refused.labels(reason)
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def opened(self, connection: Connection, descriptor: int) -> None:
        """Add a connection, which waits for its client; close another one if there are too many."""
        self._number += 1
        self.wait(connection)
        few_descriptors = descriptor >= self._descriptors - _FREE_DESCRIPTORS
        if self._number > self._limit or few_descriptors:
            most = max(self._waiting.values(), key=len)
            next(iter(most)).refuse(503, "descriptors" if few_descriptors else "connections")

    def wait(self, connection: Connection) -> None:
        """Note that the connection waits for its client, and has just heard of it."""
        waiting = self._waiting.setdefault(connection.address, OrderedDict())
        waiting[connection] = None
        waiting.move_to_end(connection)

    def serve(self, connection: Connection) -> None:
        """Note that the client waits for a response."""
        waiting = self._waiting.get(connection.address, OrderedDict())
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(connection.address, None)

    def closed(self, connection: Connection) -> None:
        self._number -= 1
        self.serve(connection)

    def refused(self, connection: Connection, reason: str) -> None:
        """Count a connection that the API closes, and log it: a line per reason in ten seconds."""
        self.serve(connection)
        self._refused.labels(reason).inc()
        self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
        at = time.monotonic()
        if at - self._logged.get(reason, -_LOG_SECONDS) >= _LOG_SECONDS:
            logger.warning(
                "closed %d connections (%s), the last of %s; %d are open",
                self._unlogged.pop(reason),
                reason,
                connection.address,
                self._number,
            )
            self._logged[reason] = at
