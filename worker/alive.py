"""Whether this host has a live worker of a role: `python -m worker.alive ROLE` ends with 0; for health checks."""

import socket
import sys

from redis import Redis
from redis.exceptions import RedisError

from backend.shared.settings import Settings


def main() -> int:
    prefix = f"rq:worker:{sys.argv[1]}-{socket.gethostname()}-"
    connection = Redis.from_url(Settings().redis_url, socket_connect_timeout=3, socket_timeout=3)
    try:
        names = [name for name in connection.smembers("rq:workers") if name.decode().startswith(prefix)]
        # One that died without a goodbye stays in the set, but its own entry expires
        return 0 if names and connection.exists(*names) else 1
    except RedisError as error:
        print(f"the broker does not answer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
