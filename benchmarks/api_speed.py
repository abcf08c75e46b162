"""Speed of the API on a database of 1,000 runs and 100,000 metric points that the store made.

    python -m benchmarks.api_speed [--times 50] [--json FILE]

Requests use one connection, one at a time. Where MLflow is installed (`pip install mlflow`), the same amounts of data
go through its store and REST server, also on SQLite, in the same run.

The table has wall-clock times, which other work on the machine lengthens, and the server's processor time per request.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.seed_database import (
    CURVES,
    MEASURES,
    PER_EXPERIMENT,
    POINTS,
    RUNS,
    api,
    broker,
    create,
    curve,
    fill,
    free_port,
    ids_of_runs,
    serving,
)
from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import metrics

LONG = 10_000


@dataclass
class Figure:
    """One measured figure and its goal; `mlflow` is the same figure of MLflow, where it is installed."""

    name: str
    unit: str
    goal: float
    at_most: bool
    value: float
    cpu: float | None = None  # milliseconds of the server's processor time per request
    mlflow: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="requests of each kind; the median is reported")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-speed-") as folder:
        figures = measure(Path(folder), arguments.times)
    if importlib.util.find_spec("mlflow") is not None:
        with tempfile.TemporaryDirectory(prefix="dl-mlflow-") as folder:
            measure_mlflow(Path(folder), arguments.times, figures)
    print(f"{'figure':<52}{'goal':>12}{'measured':>12}{'CPU ms':>10}{'MLflow':>12}  unit")
    for item in figures:
        other = "-" if item.mlflow is None else f"{item.mlflow:,.1f}"
        cpu = "-" if item.cpu is None else f"{item.cpu:.1f}"
        sign = "≤" if item.at_most else "≥"
        print(f"{item.name:<52}{sign + f' {item.goal:,.0f}':>12}{item.value:>12,.1f}{cpu:>10}{other:>12}  {item.unit}")
    print(f"load average while measuring: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(item) for item in figures], indent=2) + "\n")


def measure(home: Path, times: int) -> list[Figure]:
    settings = Settings(home=home, api_port=free_port())
    migrate.upgrade(settings)
    with broker(settings), api(settings) as (http, server):
        # Per run, delivery to the broker included; the better of two
        created = min(create(http)) * 1000 / PER_EXPERIMENT
        database = Database(settings.database_url)
        ids = ids_of_runs(http)
        fill(database, ids)
        stored = points_per_second(database, ids[0], POINTS, chunk=1000)
        long = ids[1]
        with database.write() as session:
            metrics.append(session, long, curve("long", LONG))
        database.close()
        query = {"sort": "-results.accuracy.accuracy", "limit": 100}
        listed, listed_cpu = timed(lambda: http.get("/runs", params=query), times, server)
        curves = f"/runs/{long}/metrics"
        whole, whole_cpu = timed(lambda: http.get(curves, params={"names": "long"}), times, server)
        thin = {"names": "long", "max_points": 1000}
        thinned, thinned_cpu = timed(lambda: http.get(curves, params=thin), times, server)
        return [
            Figure("GET /runs sorted by a result, 100 of 1,000", "ms, p50", 15, True, listed, listed_cpu),
            Figure("history of 10,000 points", "ms, p50", 40, True, whole, whole_cpu),
            Figure("history of 10,000 points, thinned to 1,000", "ms, p50", 15, True, thinned, thinned_cpu),
            Figure("creating an experiment of 500 runs, per run", "ms", 4, True, created),
            Figure("metric points stored by one writer, batches of 1,000", "points/s", 50_000, False, stored),
        ]


def points_per_second(database: Database, run_id: int, count: int, *, chunk: int) -> float:
    """Return the rate of writes through the store, with one transaction per chunk."""
    points = curve("stored", count)
    began = time.perf_counter()
    for start in range(0, count, chunk):
        with database.write() as session:
            metrics.append(session, run_id, points[start : start + chunk])
    return count / (time.perf_counter() - began)


def median_ms(ask: Callable[[], httpx.Response], times: int) -> float:
    for _ in range(3):
        ask().raise_for_status()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = ask()
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
    return statistics.median(taken)


def timed(ask: Callable[[], httpx.Response], times: int, server: psutil.Process) -> tuple[float, float]:
    """Return the median wall-clock time and the mean processor time of the server, in milliseconds."""
    ask().raise_for_status()
    before = sum(server.cpu_times()[:2])
    median = median_ms(ask, times)
    return median, (sum(server.cpu_times()[:2]) - before) * 1000 / (times + 3)


def measure_mlflow(folder: Path, times: int, figures: list[Figure]) -> None:
    """Measure MLflow's own store and REST server with as many runs, points and results."""
    from mlflow.entities import Metric
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = f"sqlite:///{folder / 'mlflow.sqlite'}"
    store = SqlAlchemyStore(uri, str(folder / "artifacts"))
    experiment = store.create_experiment("speed")
    chance = random.Random(0)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with serving(command, port, "/health", dict(os.environ)) as (root, _):
        http = httpx.Client(base_url=f"{root}/api/2.0/mlflow", timeout=60)
        began = time.perf_counter()
        for number in range(100):
            http.post("/runs/create", json={"experiment_id": experiment, "start_time": number}).raise_for_status()
        create = (time.perf_counter() - began) * 1000 / 100
        ids = [store.create_run(experiment, "u", 0, [], None).info.run_id for _ in range(RUNS)]
        per_curve = POINTS // RUNS // len(CURVES)
        for run_id in ids:
            points = [Metric(name, 1 / (step + 1), step, step) for name in CURVES for step in range(per_curve)]
            store.log_batch(run_id, points + [Metric(name, chance.random(), 0, 0) for name in MEASURES], [], [])
        points = [Metric("stored", 1 / (step + 1), step, step) for step in range(LONG)]
        began = time.perf_counter()
        for start in range(0, LONG, 1000):
            store.log_batch(ids[0], points[start : start + 1000], [], [])
        stored = LONG / (time.perf_counter() - began)
        search = {"experiment_ids": [experiment], "max_results": 100, "order_by": ["metrics.`accuracy.accuracy` DESC"]}
        listed = median_ms(lambda: http.post("/runs/search", json=search), times)
        history = {"run_id": ids[0], "metric_key": "stored"}
        whole = median_ms(lambda: http.get("/metrics/get-history", params=history), times)
        interval = {"run_ids": ids[0], "metric_key": "stored", "max_results": 1000}
        thinned = median_ms(lambda: http.get("/metrics/get-history-bulk-interval", params=interval), times)
        http.close()
    for item, value in zip(figures, (listed, whole, thinned, create, stored), strict=True):
        item.mlflow = value


if __name__ == "__main__":
    main()
