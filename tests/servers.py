"""Temporary servers for tests: Redis, PostgreSQL, and moto as an S3-compatible store."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from redis import Redis
from s3fs import S3FileSystem

from densitylab.worker.runtime.rq_workers import answers

# moto accepts any key; a real store reads the same variables
S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "key-of-the-store",
    "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-store",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_UP_WITHIN = 240.0  # seconds, on a machine that other tests use too


@dataclass
class Server:
    """A server process that a test can start, stop and start again."""

    argv: list[str]
    ready: Callable[[], bool]
    log: Path
    kill_by: signal.Signals = signal.SIGKILL
    data: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it is ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.argv, stdout=output, stderr=output, cwd=self.data or self.log.parent)
        until(lambda: self.ready() or self.process.poll() is not None, self.log, _UP_WITHIN)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.kill_by)
            self.process.wait(20)


def redis(stack: ExitStack, folder: Path, conf: str, ready: Callable[[], bool], inside: Sequence[str] = ()) -> Server:
    """Start a redis-server with these lines of configuration and with persistence."""
    program = shutil.which("redis-server") or pytest.skip("no redis-server on this machine")
    (folder / "redis.conf").write_text(f'{conf}\nappendonly yes\nsave ""\ndir {folder}\n')
    return _started(stack, Server([*inside, program, str(folder / "redis.conf")], ready, folder / "redis.log"))


def postgresql(
    stack: ExitStack,
    folder: Path,
    port: int,
    address: str = "127.0.0.1",
    password: str = "",
    inside: Sequence[str] = (),
) -> Server:
    """Start a PostgreSQL with a user and a database `densitylab`; root starts it as the user postgres.

    Args:
        password: required from every client; empty: none.
        inside: a prefix of the command, such as one that enters a network namespace.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("no PostgreSQL programs on this machine")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    binaries = programs[-1].parent
    # Not below the tests' folder, which only root may enter
    data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dl-pg-")))
    method = "scram-sha-256" if password else "trust"
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(f"{password or 'none'}\n")
        secret.flush()
        for path in (data, secret.name) if as_postgres else ():
            shutil.chown(path, "postgres", "postgres")
        subprocess.run(
            [
                *as_postgres,
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-A",
                method,
                "-U",
                "densitylab",
                "-N",
                f"--pwfile={secret.name}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=data,
        )
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all 0.0.0.0/0 {method}\n")
    argv = [
        *inside,
        *as_postgres,
        str(binaries / "postgres"),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        address,
        "-k",
        str(data),
    ]
    ready = [*inside, str(binaries / "pg_isready"), "-q", "-h", address, "-p", str(port)]
    server = Server(argv, lambda: subprocess.run(ready).returncode == 0, folder / "postgres.log", signal.SIGINT, data)
    _started(stack, server)
    create = [*inside, str(binaries / "createdb"), "-h", address, "-p", str(port), "-U", "densitylab", "densitylab"]
    environment = {**os.environ, "PGPASSWORD": password}
    until(lambda: subprocess.run(create, capture_output=True, env=environment).returncode == 0, server.log, _UP_WITHIN)
    return server


def object_store(
    stack: ExitStack, folder: Path, port: int, address: str = "127.0.0.1", inside: Sequence[str] = ()
) -> Server:
    """Start moto's server, which stores objects in memory."""
    argv = [*inside, sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)]
    return _started(stack, Server(argv, lambda: _accepts(address, port, inside), folder / "moto.log"))


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Connect to the object store that the environment names now: fsspec keeps connections for the process's life,
    and those of another test lead to a server that has stopped."""
    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


def broker_and_database(stack: ExitStack, folder: Path) -> tuple[Server, dict[str, str]]:
    """Start a Redis and a PostgreSQL; return the Redis, and both as settings."""
    broker_port, database_port = free_ports(2)
    (folder / "redis").mkdir()
    (folder / "postgres").mkdir()
    broker = redis(stack, folder / "redis", f"port {broker_port}", lambda: answers(Redis(port=broker_port)))
    postgresql(stack, folder / "postgres", database_port)
    return broker, {
        "DENSITYLAB_REDIS_URL": f"redis://127.0.0.1:{broker_port}/0",
        "DENSITYLAB_DATABASE_URL": f"postgresql://densitylab@127.0.0.1:{database_port}/densitylab",
    }


def _started(stack: ExitStack, server: Server) -> Server:
    stack.callback(server.stop)
    server.start()
    return server


class PortBlock:
    """A block of ports below the kernel's ephemeral ones that one process owns by listening on the first of them.

    A port from `bind(0)` is free for everyone again until the server binds it seconds later: two test processes that
    got the same one read each other's API.
    """

    SIZE = 200

    def __init__(self) -> None:
        for first in range(12_000, 32_000, self.SIZE):
            with suppress(OSError):
                self._owner = socket.create_server(("127.0.0.1", first))
                self._ports = itertools.cycle(range(first + 1, first + self.SIZE))
                return
        raise RuntimeError("every block of ports is in use")

    def take(self) -> int:
        """Return the next port that nobody listens on."""
        for port in itertools.islice(self._ports, self.SIZE):
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port
        raise RuntimeError("every port of the block is in use")


@cache
def _port_block() -> PortBlock:
    return PortBlock()


def free_ports(count: int) -> list[int]:
    return [_port_block().take() for _ in range(count)]


def free_port() -> int:
    return _port_block().take()


def until(condition: Callable[[], bool], log: Path | None = None, seconds: float = 240.0) -> None:
    """Wait for the condition; after the timeout fail with the end of the log."""
    deadline = time.monotonic() + seconds
    while not condition():
        tail = log.read_text()[-4000:] if log is not None and log.exists() else ""
        assert time.monotonic() < deadline, f"timeout after {seconds:.0f} s\n{tail}"
        time.sleep(0.1)


def _accepts(address: str, port: int, inside: Sequence[str]) -> bool:
    code = f"import socket; socket.create_connection(({address!r}, {port}), timeout=1)"
    return subprocess.run([*inside, sys.executable, "-c", code], capture_output=True).returncode == 0
