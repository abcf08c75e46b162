"""Latency and errors under many concurrent clients, on a database of 10,000 runs.

    python -m benchmarks.load [--clients 200] [--seconds 300] [--runs 10000] [--processes 2] [--database URL]
                              [--home FOLDER] [--json FILE] [--profile FILE]

Each client sends one request a second, at random moments, from a mix (`MIX`): sorted listings, single runs, curves,
experiments, the catalog, missed events, the cost of a launch, changes, and launches. The clients run in one process on
the same cores, with one connection each. The API runs in --processes processes, as DENSITYLAB_API_PROCESSES starts
them, with an embedded broker and SQLite (or the empty PostgreSQL database at --database), without workers. --home
FOLDER keeps the database for the next call. Latencies are measured by the clients. --profile FILE records one server
process with py-spy, if that is installed.
"""

import argparse
import asyncio
import collections
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psutil
from sqlalchemy import text

from benchmarks.seed_database import api, broker, create, fill, free_port, ids_of_runs
from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings

GOAL_MS = 250
LEFT_QUEUED = 50
SPAN = 30  # seconds
POINTS = 25  # of each run; some have LONG
MIX = {
    "newest runs": 15,
    "runs by a result": 12,
    "runs by λ": 8,
    "runs by a word": 3,
    "run": 18,
    "curves": 15,
    "experiments": 6,
    "experiment": 6,
    "catalog": 4,
    "events": 4,
    "dry run": 3,
    "change": 5,
    "launch": 1,
}


@dataclass
class Outcome:
    """Milliseconds by kind of request, and how often each error occurred."""

    seconds: float
    cores: float = 0.0  # cores that the clients used
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    by_time: dict[int, list[float]] = field(default_factory=lambda: collections.defaultdict(list))  # of each SPAN
    errors: dict[str, int] = field(default_factory=lambda: collections.defaultdict(int))


class Client:
    """Sends one random request a second."""

    def __init__(self, http: aiohttp.ClientSession, runs: list[int], seed: int, outcome: Outcome) -> None:
        self._http, self._runs, self._outcome = http, runs, outcome
        self._chance = random.Random(seed)

    async def work(self, until: float) -> None:
        start = time.monotonic()
        await asyncio.sleep(self._chance.random())
        while (began := time.monotonic()) < until:
            kind = self._chance.choices(list(MIX), list(MIX.values()))[0]
            try:
                if kind == "events":
                    await self._events()
                else:
                    async with self._http.request(**self._request(kind)) as answer:
                        answer.raise_for_status()
                        await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                self._outcome.errors[f"{kind}: {error!r}"] += 1
            took = time.monotonic() - began
            self._outcome.milliseconds[kind].append(took * 1000)
            self._outcome.by_time[int((began - start) / SPAN)].append(took * 1000)
            await asyncio.sleep(max(0.0, 1.0 - took))

    def _request(self, kind: str) -> dict[str, Any]:
        run = self._chance.choice(self._runs)
        experiment = self._chance.randrange(1, 1 + len(self._runs) // 500)
        sort = self._chance.choice(("-results.accuracy.accuracy", "results.leakage.share", "-metrics.loss"))
        requests: dict[str, tuple[str, str, dict[str, Any]]] = {
            "newest runs": ("GET", "/runs", {"params": {"limit": 50}}),
            "runs by a result": ("GET", "/runs", {"params": {"sort": sort, "limit": 50}}),
            "runs by λ": ("GET", "/runs", {"params": {"sort": "lambda_", "experiment": experiment, "limit": 50}}),
            "runs by a word": ("GET", "/runs", {"params": {"q": "noted", "limit": 50}}),
            "run": ("GET", f"/runs/{run}", {}),
            "curves": ("GET", f"/runs/{run}/metrics", {"params": {"max_points": 200}}),
            "experiments": ("GET", "/experiments", {"params": {"limit": 20}}),
            "experiment": ("GET", f"/experiments/{experiment}", {}),
            "catalog": ("GET", "/catalog", {}),
            "dry run": (
                "POST",
                "/experiments",
                {"params": {"dry_run": "true"}, "json": {"sweep": {"lambda_": [0, 0.1, 1], "seed": [0, 1, 2]}}},
            ),
            "change": ("PATCH", f"/runs/{run}", {"json": {"notes": f"noted {run}", "tags": ["seen"]}}),
            "launch": ("POST", "/experiments", {"json": {"name": "one more", "sweep": {"seed": [0, 1, 2]}}}),
        }
        method, url, more = requests[kind]
        return {"method": method, "url": f"/api/v1{url}", **more}

    async def _events(self) -> None:
        """Reconnect to the event stream and read the first missed event."""
        async with self._http.get("/api/v1/events", headers={"Last-Event-ID": "1"}) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data:"):
                    return


def clients(root: str, runs: list[int], count: int, seconds: float, send: Any) -> None:
    """Run this many clients for this many seconds in one process, and send their outcome."""
    outcome = Outcome(seconds)

    async def one(seed: int, until: float) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(root, connector=aiohttp.TCPConnector(limit=1), timeout=timeout) as http:
            await Client(http, runs, seed, outcome).work(until)

    async def all_of_them() -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(one(seed, until) for seed in range(count)))

    asyncio.run(all_of_them())
    outcome.cores = sum(os.times()[:2]) / seconds
    send.send(outcome)


def measure(settings: Settings, count: int, seconds: float, runs: int, profile: Path | None) -> tuple[Outcome, float]:
    """Return the outcome, and how many cores the server used."""
    migrate.upgrade(settings)
    with ExitStack() as stack:
        stack.enter_context(broker(settings))
        started = [stack.enter_context(api(settings)) for _ in range(settings.api_processes)]
        http, servers = started[0][0], [server for _, server in started]
        ids = ids_of_runs(http)
        if len(ids) < runs:
            ids = seed_runs(http, settings, runs)
            analyse(settings)
        receive, send = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=clients, args=(f"http://127.0.0.1:{settings.api_port}", ids, count, seconds, send)
        )
        before, began = cpu_seconds(servers), time.monotonic()
        process.start()
        if profile is not None:
            subprocess.Popen(
                [
                    Path(sys.executable).with_name("py-spy"),
                    "record",
                    "--pid",
                    str(servers[0].pid),
                    "--gil",
                    "--nonblocking",
                    "--output",
                    str(profile),
                    "--format",
                    "raw",
                    "--duration",
                    str(int(seconds)),
                ]
            )
        outcome: Outcome = receive.recv()
        share = (cpu_seconds(servers) - before) / (time.monotonic() - began)
        process.join()
    return outcome, share


def seed_runs(http: httpx.Client, settings: Settings, runs: int) -> list[int]:
    """Create this many runs, with results and curves for all but the last; return their ids."""
    for _ in create(http, runs):
        pass
    ids = ids_of_runs(http)
    database = Database(settings.database_url)
    # In portions, so that this script needs little memory
    for start in range(0, len(ids) - LEFT_QUEUED, 500):
        fill(database, ids[start : min(start + 500, len(ids) - LEFT_QUEUED)], POINTS)
    database.close()
    return ids


def analyse(settings: Settings) -> None:
    """Update PostgreSQL's statistics, as autovacuum would: without them it plans as for empty tables."""
    database = Database(settings.database_url)
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    database.close()


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--home", type=Path, help="state folder to fill once and keep")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database; SQLite unless given")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-load-") as folder:
        settings = Settings(
            home=arguments.home or Path(folder),
            api_port=free_port(),
            database_url=arguments.database,
            api_processes=arguments.processes,
        )
        outcome, share = measure(settings, arguments.clients, arguments.seconds, arguments.runs, arguments.profile)
    every = [value for values in outcome.milliseconds.values() for value in values]
    print(f"{'request':<26}{'count':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}  ms")
    for kind, values in [*sorted(outcome.milliseconds.items()), ("all", every)]:
        figures = statistics.median(values), percentile(values, 0.95), percentile(values, 0.99), max(values)
        print(f"{kind:<26}{len(values):>8}" + "".join(f"{value:>9.1f}" for value in figures))
    spans = [values for _, values in sorted(outcome.by_time.items())]
    print(f"p99 of each {SPAN} s:", *(f"{percentile(values, 0.99):.0f}" for values in spans))
    for sentence, times in outcome.errors.items():
        print(f"error, {times} times: {sentence}")
    print(
        f"{len(every) / outcome.seconds:.0f} requests a second; {arguments.processes} server processes used "
        f"{share:.2f} cores and the clients {outcome.cores:.2f}; load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()}"
    )
    p99 = percentile(every, 0.99)
    met = p99 < GOAL_MS and not outcome.errors
    print(
        f"p99 {p99:.0f} ms (goal: under {GOAL_MS}), {sum(outcome.errors.values())} errors (goal: none): "
        f"{'met' if met else 'NOT met'}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(outcome), indent=2) + "\n")
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
