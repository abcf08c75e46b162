"""Processor time of the API's operations as the database grows.

    python -m benchmarks.growth [--database postgresql] [--sizes 1000 10000 100000] [--points 1000000] [--only word]

Every operation is a request to the API in this process, or a transaction of the store. Its processor time is that of
this process and of the database server together, the median of several rounds. The runs have few points, but for one
with a curve of a million. Prints a Markdown table.
"""

import argparse
import contextlib
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from fastapi.testclient import TestClient

from benchmarks.growth_database import RARE, RARE_PAIR, GrowingDatabase
from benchmarks.seed_database import broker
from benchmarks.temp_postgres import TempPostgres, temp_postgres
from densitylab.backend.api import cursors
from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import outbox, run_listing, runs, tasks
from densitylab.backend.shared.store.run_filters import Filter

SIZES = (1_000, 10_000, 100_000)
SORTS = ("-id", "-created_at", "-lambda_", "-progress", "status", "-results.accuracy.accuracy", "metrics.loss")
# Words to search for by how often they occur; one of few characters is in no index of three
WORDS = {
    "common": "growth",
    "absent": "nowhere",
    "rare short": RARE_PAIR,
    "common short": "gr",
    "absent short": "qz",
    "rare non-ASCII": "ΛÜß",
    "rare literal": "7 %",
}
ROUNDS, SECONDS = 3, 0.04  # rounds of an operation, and the least processor time of each
Operation = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of runs")
    parser.add_argument("--points", type=int, default=1_000_000, help="of the one long curve")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="measure operations with one of these texts in the name"
    )
    given = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="dl-growth-") as folder, contextlib.ExitStack() as stack:
        server = stack.enter_context(temp_postgres()) if given.database == "postgresql" else None
        settings = Settings(home=Path(folder), database_url=server.url if server else "", rate_limit=0)
        migrate.upgrade(settings)
        database = Database(settings.database_url)
        stack.callback(database.close)
        stack.enter_context(broker(settings))
        client = stack.enter_context(TestClient(create_app(settings)))
        growing = GrowingDatabase(database)
        growing.add_points(growing.long, given.points)
        columns: dict[int, dict[str, float]] = {}
        for size in given.sizes:
            began = time.perf_counter()
            growing.grow(size)
            print(f"{size} runs after {time.perf_counter() - began:.0f} s", flush=True)
            columns[size] = {
                name: processor_ms(operation, server)
                for name, operation in operations(client, growing, size)
                if any(text in name for text in given.only)
            }
    print(table(given.database, columns))


def operations(client: TestClient, growing: GrowingDatabase, size: int) -> Iterator[tuple[str, Operation]]:
    """Yield what is measured, by name."""

    def get(path: str, **query: object) -> Operation:
        def request() -> None:
            client.get(path, params=query).raise_for_status()

        return request

    newest = newest_runs(growing.database, 50)
    for sort in SORTS:
        yield f"first page by {sort}", get("/api/v1/runs", sort=sort)
        cursor = middle(growing.database, sort)
        yield f"page in the middle by {sort}", get("/api/v1/runs", sort=sort, cursor=cursor)
    for name in ("tag", "regularizer", "model", "q"):
        archived = {"archived": [True, False]}
        yield f"rare {name}", get("/api/v1/runs", **{name: RARE}, **archived)
        yield f"rare {name} by -lambda_", get("/api/v1/runs", **{name: RARE}, sort="-lambda_")
    for name, word in WORDS.items():
        yield f"{name} word", get("/api/v1/runs", q=word, archived=[True, False])
    yield "rare word, counted", get("/api/v1/runs", q=RARE, archived=[True, False], total=True)
    yield "archived runs", get("/api/v1/runs", archived=True)
    yield "runs with a common tag", get("/api/v1/runs", tag="growth")
    yield "runs of a common model", get("/api/v1/runs", model="mlp")
    yield "failed runs", get("/api/v1/runs", status="failed")
    yield "succeeded runs", get("/api/v1/runs", status="succeeded")
    yield "queued runs", get("/api/v1/runs", status="queued")
    yield "one run", get(f"/api/v1/runs/{newest[0]}")
    yield "experiments", get("/api/v1/experiments")
    yield "experiments by a word", get("/api/v1/experiments", q="growing 7")
    yield "experiments by an absent word", get("/api/v1/experiments", q="nowhere")
    yield "curves of 50 runs", get("/api/v1/metrics", run=newest)
    yield "a curve of a million points", get(f"/api/v1/runs/{growing.long}/metrics", names="long")
    yield "state of the system", get("/api/v1/system")
    yield "Prometheus", get("/metrics")
    yield "claim and release of a task", claim_and_release(growing)
    yield "change of a run's tags", change(client, newest[0])
    yield "reconciler, a round", reconcile(growing.database)


def newest_runs(database: Database, count: int) -> list[int]:
    with database.read() as session:
        listed = run_listing.sorted_runs(session, Filter(), sort="id", descending=True, limit=count)
    return [run.id for run in listed]


def middle(database: Database, sort: str) -> str:
    """Return a cursor at the middle of the listing."""
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    with database.read() as session:
        every = run_listing.sorted_runs(session, Filter(), sort=key, descending=descending)
    run = every[len(every) // 2]
    return cursors.encode(sort, run.key, run.id)


def claim_and_release(growing: GrowingDatabase) -> Operation:
    with growing.database.read() as session:
        task_id = runs.train_task(session, growing.long) or 0

    def transaction() -> None:
        with growing.database.write() as session:
            claim = tasks.claim(session, task_id, worker="benchmark", lease_seconds=60)
            assert claim is not None
            tasks.release(session, claim)

    return transaction


def change(client: TestClient, run_id: int) -> Operation:
    def request() -> None:
        client.patch(f"/api/v1/runs/{run_id}", json={"tags": ["growth", "changed"]}).raise_for_status()

    return request


def reconcile(database: Database) -> Operation:
    """Return the statements that the reconciler repeats while nothing happens."""

    def statements() -> None:
        with database.write() as session:
            tasks.reap(session)
        with database.read() as session:
            outbox.undelivered(session, 1)
            outbox.outstanding(session)
            tasks.overdue_cancels(session, 10)

    return statements


def processor_ms(operation: Operation, server: TempPostgres | None) -> float:
    """Return the milliseconds of processor time that the operation takes."""
    operation()
    operation()
    rounds = []
    for _ in range(ROUNDS):
        count, before, used = 0, used_seconds(server), 0.0
        while used < SECONDS:
            operation()
            count, used = count + 1, used_seconds(server) - before
        rounds.append(used * 1000 / count)
    return statistics.median(rounds)


def used_seconds(server: TempPostgres | None) -> float:
    """Return the processor time of this process and of the server's processes."""
    used = time.process_time()
    if server is not None and server.process is not None:
        for backend in psutil.Process(server.process.pid).children():
            with contextlib.suppress(FileNotFoundError):
                used += int(Path(f"/proc/{backend.pid}/schedstat").read_text().split()[0]) / 1e9
    return used


def table(database: str, columns: dict[int, dict[str, float]]) -> str:
    """Return the milliseconds of each operation by the number of runs, and the ratio of the last to the first."""
    sizes = list(columns)
    lines = [
        f"| {database}, processor ms at | " + " | ".join(f"{size:,} runs" for size in sizes) + " | ratio |",
        "| --- |" + " ---: |" * (len(sizes) + 1),
    ]
    for name in columns[sizes[0]]:
        values = [columns[size][name] for size in sizes]
        cells = " | ".join(f"{value:.1f}" for value in values)
        lines.append(f"| {name} | {cells} | {values[-1] / values[0]:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
