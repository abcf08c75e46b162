"""A whole running system for the tests that only use it; those that kill it start their own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.shared.contracts import QueueName
from frontend.client import ApiClient, ApiError, connect
from tests.servers import broker_and_database

ROOT = Path(__file__).parents[2]
UP_WITHIN = 240.0  # seconds, on a machine that other tests use too


@dataclass(frozen=True)
class RunningSystem:
    page: str
    api: str
    client: ApiClient


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Everything that `make up` starts, in a state folder and on ports of its own.

    Broker and database are the embedded ones; with TEST_SERVERS a Redis and a PostgreSQL of their own.
    """
    probes = [socket.socket() for _ in range(2)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    api_port, page_port = (probe.getsockname()[1] for probe in probes)
    for probe in probes:
        probe.close()
    with tempfile.TemporaryDirectory(prefix="dl-") as home, ExitStack() as stack:
        log = tmp_path_factory.mktemp("system") / "log.txt"
        servers = {}
        if os.environ.get("TEST_SERVERS"):
            _, servers = broker_and_database(stack, tmp_path_factory.mktemp("servers"))
        environment = {
            **os.environ, "DENSITYLAB_HOME": home, "DENSITYLAB_API_PORT": str(api_port),
            "DENSITYLAB_UI_PORT": str(page_port), "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT),
            **servers,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "backend.launcher"], env=environment, cwd=home, stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            api = f"http://127.0.0.1:{api_port}"
            system = RunningSystem(f"http://127.0.0.1:{page_port}", api, connect(api))
            deadline = time.monotonic() + UP_WITHIN
            while "DensityLab is up" not in log.read_text() or not _workers_live(system.client):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield system
        finally:  # also where it did not come up
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _workers_live(client: ApiClient) -> bool:
    try:
        workers = client.readiness().workers
    except ApiError:
        return False
    return all(workers.get(queue, 0) for queue in QueueName)
