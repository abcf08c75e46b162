"""Four writers, the reconciler and twenty readers on one SQLite file: no error, and nothing is lost."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from densitylab.backend.shared import database as database_module
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import metrics, runs

ROOT = Path(__file__).parents[3]
READERS = 20

# What a training worker writes, almost without a pause: heartbeat, points, log lines, now and then a checkpoint
WRITER = """
import sys, time
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import logs, metrics, run_artifacts, runs, tasks
from densitylab.backend.shared.store.metrics import Point

url, run_id, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
database = Database(url)
with database.write() as session:
    held = tasks.claim(session, runs.train_task(session, run_id), worker=f"w{run_id}", lease_seconds=15)
step, slowest, until = 0, 0.0, time.monotonic() + seconds
while time.monotonic() < until:
    began = time.monotonic()
    with database.write() as session:
        tasks.renew(session, held, lease_seconds=15, stage="training", progress=0.5, eta_seconds=1.0)
        metrics.append(session, run_id, [Point(name, step + n, 0.1, 1.0, 0.1) for n in range(1, 11)
                                         for name in ("loss", "penalty")])
        runs.set_metrics(session, run_id, {"loss": 1.0})
        logs.append(session, run_id, [(time.time(), "info", f"step {step}")])
        if step % 500 == 0:
            tasks.advanced(session, held)
            run_artifacts.move_checkpoint(session, run_id, location=f"runs/{run_id}/{step}.pt", size=1, step=step)
    step += 10
    slowest = max(slowest, time.monotonic() - began)
    time.sleep(0.005)
print(step, round(slowest * 1e3))
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_nothing_fails_under_four_writers_the_reconciler_and_twenty_readers(
    app: FastAPI, settings: Settings, work: Any, database: Database, seconds: int
):
    members = work.launch(sweep={"seed": [0, 1, 2, 3]})
    environment = {
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url,
        "PATH": "/usr/bin:/bin",
    }
    reconciler = subprocess.Popen(
        [sys.executable, "-m", "densitylab.backend.reconciler"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, settings.database_url, str(run_id), str(seconds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run_id in members
    ]
    refused: list[str] = []
    reads = [0] * READERS
    until = time.monotonic() + seconds

    def read(number: int, client: TestClient) -> None:
        run_id = members[number % 4]
        paths = [
            "/api/v1/runs",
            f"/api/v1/runs/{run_id}",
            "/api/v1/experiments",
            "/readyz",
            f"/api/v1/runs/{run_id}/metrics?max_points=200",
            f"/api/v1/runs/{run_id}/log?limit=20",
        ]
        while time.monotonic() < until:
            answer = client.get(paths[reads[number] % len(paths)])
            reads[number] += 1
            if answer.status_code != 200:
                refused.append(answer.text)
            time.sleep(0.02)

    with TestClient(app) as client:
        readers = [threading.Thread(target=read, args=(number, client)) for number in range(READERS)]
        for reader in readers:
            reader.start()
        said = [writer.communicate(timeout=seconds + 60) for writer in writers]
        for reader in readers:
            reader.join()
        launched = client.post("/api/v1/experiments", json={}).status_code
    reconciler.terminate()
    log, _ = reconciler.communicate(timeout=20)
    assert refused == []
    assert [errors for _, errors in said] == [""] * 4 and [writer.returncode for writer in writers] == [0] * 4
    assert "cannot" not in log and launched == 202 and min(reads) > 0
    with database.read() as session:
        for run_id, (output, _) in zip(members, said, strict=True):
            steps = int(output.split()[0])
            (loss,) = metrics.read(session, run_id, ["loss"])
            assert loss.total == steps > 0
            run = runs.get(session, run_id)
            assert run is not None and run.status == "running"
    slowest = max(int(output.split()[1]) for output, _ in said)
    writes = sum(int(output.split()[0]) // 10 for output, _ in said)
    print(f"{writes} writes, the slowest {slowest} ms; {sum(reads)} reads")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_threads_take_turns_to_write_and_one_that_waits_too_long_is_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    inside, most = 0, 0
    failed: list[Exception] = []

    def write() -> None:
        nonlocal inside, most
        try:
            with database.write() as session:
                inside += 1
                most = max(most, inside)
                session.execute(text("UPDATE runs SET notes = notes"))
                inside -= 1
        except OperationalError as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside, failed) == (1, 0, [])

    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.05)
    with database.write():
        late = threading.Thread(target=write)
        late.start()
        late.join()
    assert len(failed) == 1 and "database is locked" in str(failed[0])
    with pytest.raises(ZeroDivisionError), database.write():
        1 / 0  # noqa: B018
    write()  # the turn of one that failed is over
    assert len(failed) == 1
