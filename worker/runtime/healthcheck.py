"""Health check: `python -m densitylab.worker.runtime.healthcheck ROLE` exits with 0 if this host has a live worker."""

import socket
import sys

from redis import Redis
from redis.exceptions import RedisError

from densitylab.backend.shared.settings import Settings


def main() -> int:
    prefix = f"rq:worker:{sys.argv[1]}-{socket.gethostname()}-"
    connection = Redis.from_url(Settings().redis_url, decode_responses=True, socket_connect_timeout=3, socket_timeout=3)
    try:
        names = [name for name in map(str, connection.smembers("rq:workers")) if name.startswith(prefix)]
        # a worker that was killed stays in the set, but its own entry expires
        return 0 if names and connection.exists(*names) else 1
    except RedisError as error:
        print(f"the broker does not answer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
