"""Overhead of the queue: 1, 2, 4 and 8 workers on tasks that only sleep.

    python -m benchmarks.scaling [--workers 1 2 4 8] [--sleep 2] [--each 15] [--database URL] [--json FILE]

API, broker, reconciler, database, claims, leases and the worker's fork for each job are the product's. Only the work
differs: a training is a sleep, and so is the evaluation that follows. The sleep varies by up to 10 % with the task's
number, because equal tasks would end together and all workers would fork at the same moment. It must be long enough
that the processor time of all tasks fits the cores: at 50 ms a task, 8 workers need 0.2 of two cores with the default
of 2 s. `--each` runs per worker are launched at once. Throughput counts from the first start to the last end. Overhead
is the time from the end of a task to the start of the next one on the same worker, by the database's clock, and on an
idle system from a launch to its start. --worker is internal.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from sqlalchemy import select

from benchmarks.seed_database import ROOT, api, broker, free_port
from densitylab.backend.ops import migrate
from densitylab.backend.shared.contracts import QueueName, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.tables import TaskRow

GOAL_SHARE, GOAL_MS = 0.9, 50.0
IDLE_LAUNCHES = 10
LIMIT_SECONDS = 600.0
_SLEEP = "DENSITYLAB_BENCHMARK_SLEEP"


@dataclass
class Figures:
    """Figures for one number of workers; milliseconds are medians."""

    workers: int
    tasks: int
    per_second: float
    between_ms: float  # from the end of a task to the start of the next
    between_p90_ms: float
    launch_ms: float  # from a launch to its start on an idle system
    cpu_ms: float  # processor time of workers and jobs per task
    share: float = 1.0  # throughput relative to linear scaling of the first row


def worker() -> None:
    """Run the product's worker with sleeping jobs."""
    from densitylab.worker import main as product
    from densitylab.worker.jobs import evaluate, train
    from densitylab.worker.jobs.context import Context
    from densitylab.worker.jobs.task_runner import run_task
    from densitylab.worker.runtime.lease import Lease

    def sleep(_context: Context, lease: Lease) -> None:
        time.sleep(float(os.environ[_SLEEP]) * random.Random(lease.task.task_id).uniform(0.9, 1.1))
        with lease.writing() as session:
            lease.finish(session, Status.SUCCEEDED)

    train.run = evaluate.run = lambda task_id: run_task(task_id, sleep)
    sys.argv = [sys.argv[0], "training"]
    product.main()


@contextmanager
def processes(
    settings: Settings, arguments: list[str], count: int = 1, sleep: float = 0
) -> Iterator[list[psutil.Process]]:
    """Start this many Python processes of the system, and stop them at the end."""
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        _SLEEP: str(sleep),
    }
    command = [sys.executable, "-m", *arguments]
    started = [subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the processor seconds of the workers and of their finished jobs."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def launched(http: httpx.Client, name: str, count: int) -> list[int]:
    """Launch an experiment of this many runs and return their ids."""
    body = {"name": name, "spec": {"evaluations": []}, "sweep": {"seed": list(range(count))}}
    answer = http.post("/experiments", json=body).raise_for_status().json()
    return list(answer["runs"])


def finished(database: Database, runs: list[int]) -> list[TaskRow]:
    """Wait until all tasks of the runs have succeeded, and return them."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        with database.read() as session:
            rows = list(session.scalars(select(TaskRow).where(TaskRow.run_id.in_(runs)).order_by(TaskRow.id)))
        if all(row.status == Status.SUCCEEDED for row in rows):
            return rows
        if time.monotonic() > deadline or any(row.status == Status.FAILED for row in rows):
            raise SystemExit(f"not all succeeded: {[(row.id, row.status, row.error) for row in rows][:20]}")
        time.sleep(0.2)  # rarely, so that polling does not slow the tasks


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"timeout after {seconds:.0f} s")
        time.sleep(0.2)


def measure(settings: Settings, http: httpx.Client, database: Database, count: int, sleep: float, each: int) -> Figures:
    with processes(settings, ["benchmarks.scaling", "--worker"], count, sleep) as workers:
        root = str(http.base_url).removesuffix("/api/v1/")
        until(lambda: http.get(f"{root}/readyz").json()["workers"].get(QueueName.TRAIN) == count, LIMIT_SECONDS)
        launches = []
        for number in range(IDLE_LAUNCHES):
            training, *_ = finished(database, launched(http, f"idle {count}.{number}", 1))
            launches.append((training.started_at - training.created_at) * 1000)
            time.sleep(0.1)  # let the workers wait for the broker again
        used = cpu_seconds(workers)
        rows = finished(database, launched(http, f"busy {count}", count * each))
        used = cpu_seconds(workers) - used
    span = max(row.finished_at for row in rows) - min(row.started_at for row in rows)
    by_worker: dict[str, list[TaskRow]] = {}
    for row in sorted(rows, key=lambda row: row.started_at):
        by_worker.setdefault(row.worker, []).append(row)
    between = sorted(
        (after.started_at - before.finished_at) * 1000
        for mine in by_worker.values()
        for before, after in itertools.pairwise(mine)
    )
    return Figures(
        count,
        len(rows),
        len(rows) / span,
        statistics.median(between),
        between[int(len(between) * 0.9)],
        statistics.median(launches),
        used * 1000 / len(rows),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--sleep", type=float, default=2.0, help="mean seconds of a task")
    parser.add_argument("--each", type=int, default=15, help="runs per worker")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database; SQLite unless given")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
        return
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="dl-scaling-") as folder:
        settings = Settings(home=Path(folder), api_port=free_port(), database_url=arguments.database)
        migrate.upgrade(settings)
        database = Database(settings.database_url)
        with broker(settings), api(settings) as (http, _), processes(settings, ["densitylab.backend.reconciler"]):
            for count in arguments.workers:
                figures.append(measure(settings, http, database, count, arguments.sleep, arguments.each))
        database.close()
    print(
        f"{'workers':>8}{'tasks':>8}{'a second':>10}{'of linear':>11}{'between':>10}{'p90':>8}{'launch':>9}{'CPU':>7}"
        "  ms"
    )
    for item in figures:
        item.share = item.per_second / figures[0].per_second * figures[0].workers / item.workers
        print(
            f"{item.workers:>8}{item.tasks:>8}{item.per_second:>10.2f}{item.share:>11.3f}{item.between_ms:>10.1f}"
            f"{item.between_p90_ms:>8.1f}{item.launch_ms:>9.1f}{item.cpu_ms:>7.1f}"
        )
    met = all(item.share >= GOAL_SHARE and max(item.between_ms, item.launch_ms) < GOAL_MS for item in figures)
    print(
        f"goals: {GOAL_SHARE:g} of linear, under {GOAL_MS:g} ms a task: {'met' if met else 'NOT met'}; load average "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(item) for item in figures], indent=2) + "\n")
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
