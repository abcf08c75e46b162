"""A temporary PostgreSQL server that a benchmark can kill; started by root, it runs as the user postgres."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks.seed_database import free_port


class TempPostgres:
    """A server with its data in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        _run([_binary("initdb"), "--pgdata", str(self.folder / "data"), "--username", "postgres", "--auth", "trust"])

    def start(self) -> None:
        """Start the server and wait until it answers; after a kill it first replays its log."""
        deadline = time.monotonic() + 120
        while True:
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(
                    [
                        _binary("postgres"),
                        "-D",
                        str(self.folder / "data"),
                        "-p",
                        str(self.port),
                        "-c",
                        "listen_addresses=127.0.0.1",
                        "-c",
                        f"unix_socket_directories={self.folder}",
                    ],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    **_as_postgres(),
                )
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", connect_timeout=2).close()
                return
            if time.monotonic() > deadline:
                raise SystemExit("PostgreSQL did not start")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server with all its connections, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def temp_postgres() -> Iterator[TempPostgres]:
    """Start a server in a temporary folder, and stop and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = TempPostgres(folder)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.process.terminate()
            try:
                server.process.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
        shutil.rmtree(folder)


def _binary(name: str) -> str:
    binary = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    if binary is None:
        raise SystemExit(f"PostgreSQL's {name} is not installed")
    return binary


def _as_postgres() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **_as_postgres())  # type: ignore[call-overload]
