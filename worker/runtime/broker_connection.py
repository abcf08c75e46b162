"""A connection to the broker for which one that refuses writes for a while is one that does not answer."""

from typing import Any

from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, ResponseError


def connect(url: str) -> Redis:
    """Return a client that raises ConnectionError also while the broker's disk or memory is full.

    RQ waits for a broker that does not answer, and ends the worker at any other error.
    """
    # Without the client's name and version, which it would look up and send again in each job
    pool = ConnectionPool.from_url(url, driver_info=None)
    pool.connection_class = type("Connection", (_WriteRefusals, pool.connection_class), {})
    return Redis(connection_pool=pool)


class _WriteRefusals:
    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except ResponseError as error:
            if isinstance(error, OutOfMemoryError | ReadOnlyError) or str(error).startswith("MISCONF"):
                raise ConnectionError(str(error)) from error
            raise
