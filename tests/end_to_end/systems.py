"""Whole systems on this machine, started by `densitylab up`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from densitylab.backend.shared.contracts import QueueName
from densitylab.frontend.client import ApiClient, ApiError, connect
from tests.servers import free_ports

UP_WITHIN = 240.0  # seconds, on a machine that other tests use too
UP = (sys.executable, "-P", "-m", "densitylab", "up")


@dataclass(frozen=True)
class RunningSystem:
    page: str
    api: str
    client: ApiClient


@contextmanager
def started(
    home: Path, log: Path, environment: Mapping[str, str], command: Sequence[str] = UP, *, announced: bool = True
) -> Iterator[RunningSystem]:
    """A system with this state folder, on free ports; it is up when each queue has a worker, and stopped at the end.

    Without `announced`, its standard output is not the log.
    """
    api_port, page_port = free_ports(2)
    settings = {
        **os.environ,
        "DENSITYLAB_HOME": str(home),
        "DENSITYLAB_API_PORT": str(api_port),
        "DENSITYLAB_UI_PORT": str(page_port),
        "CUDA_VISIBLE_DEVICES": "",
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=settings, cwd=home, stdout=output, stderr=subprocess.STDOUT)
    try:
        api = f"http://127.0.0.1:{api_port}"
        system = RunningSystem(f"http://127.0.0.1:{page_port}", api, connect(api))
        deadline = time.monotonic() + UP_WITHIN
        while (announced and "DensityLab is up" not in log.read_text()) or not _workers_live(system.client):
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
