"""Let the broker lose 10,000 queued trainings, and change runs while they are delivered again.

    python -m benchmarks.redelivery [--runs 10000] [--database postgresql|sqlite]

Starts a broker, an API and a reconciler, without workers. Prints the seconds from the loss until every training is on
a queue again, and the slowest PATCH of a run meanwhile.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from benchmarks.seed_database import api, broker, create, free_port
from benchmarks.temp_postgres import temp_postgres
from densitylab.backend.ops import migrate
from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.settings import Settings

PAUSE = 0.05  # seconds between changes


@dataclass
class Outcome:
    seconds: float
    changes: list[float] = field(default_factory=list)  # seconds of each
    refused: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = stack.enter_context(temp_postgres()).url if given.database == "postgresql" else ""
        outcome = measure(Settings(home=Path(folder), database_url=url, api_port=free_port()), given.runs)
    print(f"{given.database}: {given.runs} trainings on a queue again after {outcome.seconds:.1f} s;", end=" ")
    print(f"{len(outcome.changes)} changes, {outcome.refused} refused, slowest {max(outcome.changes):.2f} s")


def measure(settings: Settings, count: int) -> Outcome:
    migrate.upgrade(settings)
    with broker(settings), api(settings) as (http, _), reconciler(settings):
        for _ in create(http, count):
            pass
        run = http.get("/runs", params={"limit": 1}).raise_for_status().json()["items"][0]["id"]
        connection = Redis.from_url(settings.redis_url)
        wait_for(lambda: on_queues(connection) >= count, 600)
        connection.flushall()
        outcome, began = Outcome(0.0), time.perf_counter()
        while on_queues(connection) < count:
            sent = time.perf_counter()
            answer = http.patch(f"/runs/{run}", json={"notes": f"change {len(outcome.changes)}"})
            outcome.changes.append(time.perf_counter() - sent)
            outcome.refused += answer.is_error
            time.sleep(PAUSE)
        outcome.seconds = time.perf_counter() - began
        return outcome


@contextlib.contextmanager
def reconciler(settings: Settings) -> Iterator[None]:
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url,
    }
    process = subprocess.Popen([sys.executable, "-m", "densitylab.backend.reconciler"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def on_queues(connection: "Redis[bytes]") -> int:
    """Return the number of trainings of normal priority on the queues."""
    ending = f":{QueueName.TRAIN}".encode()
    return sum(connection.llen(key) for key in connection.smembers("rq:queues") if key.endswith(ending))


def wait_for(condition, seconds: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"the trainings were not delivered within {seconds:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
