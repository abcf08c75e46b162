"""Random kills during a sweep: every run ends, with the weights and the curves of an undisturbed one.

    python -m benchmarks.chaos [--seconds 600] [--database postgresql|sqlite] [--seed 1] [--epochs 40] [--json FILE]

The system is the launcher's (broker, API, reconciler, two training workers, the page), on a PostgreSQL of its own that
this script starts and restarts, or on SQLite, which has no process to kill. A sweep is run once undisturbed. Then it is
launched again and again for so long, while every 5 to 15 s something is ended by SIGKILL: a worker, a job, the broker,
the API, the reconciler or the database. When all have ended, each run is compared with the one of the first sweep that
has its λ and seed: the bits of weights and optimizer, all metric points, all results. A launch whose answer was lost is
sent again with its key, so that none is there twice.
"""

import argparse
import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from sqlalchemy.exc import OperationalError

from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Status
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import evaluations, experiments, logs, runs
from benchmarks.filled import free_port
from benchmarks.own_postgres import OwnPostgres, own_postgres
from benchmarks.whole_system import belonging, metric_rows, start_launcher, weights_hash

PAUSE = (5.0, 15.0)  # seconds between kills
DOWN = (0.0, 3.0)  # seconds until the database is started again; the launcher starts the others again at once
SWEEP = {"lambda_": [0.0, 0.1], "seed": [0, 1, 2]}
WAITING = 6  # unfinished runs below which the sweep is launched again
UP_SECONDS, END_SECONDS = 300.0, 1800.0
Answer = TypeVar("Answer")
WORDS = {"worker": "worker.main training", "broker": "valkey-server", "api": "backend.api.server",
         "reconciler": "backend.reconciler"}


@dataclass
class Outcome:
    seed: int
    kills: list[tuple[float, str]] = field(default_factory=list)  # seconds since the first, what
    runs: int = 0
    resumed: int = 0  # runs that went on from a checkpoint
    attempts: int = 0  # of all trainings
    faults: list[str] = field(default_factory=list)


class Killer(threading.Thread):
    """Ends something every so often, until it is told to stop."""

    def __init__(self, home: Path, postgres: OwnPostgres | None, outcome: Outcome) -> None:
        super().__init__(name="killer")
        self._home, self._postgres, self._outcome = home, postgres, outcome
        self._chance = random.Random(outcome.seed)
        self._kinds = ["worker", "job", "broker", "api", "reconciler", *(["database"] if postgres else [])]
        self.stopped = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.stopped.wait(self._chance.uniform(*PAUSE)):
            # Each kind has its turn before one comes again, in an order of chance
            order = self._chance.sample(self._kinds, len(self._kinds))
            times = Counter(kind for _, kind in self._outcome.kills)
            for kind in sorted(order, key=lambda kind: times[kind]):
                if (what := self._kill(kind)) is not None:
                    self._outcome.kills.append((round(time.monotonic() - began, 1), kind))
                    print(f"{time.monotonic() - began:7.1f} s  killed: {what}", flush=True)
                    break

    def _kill(self, kind: str) -> str | None:
        """What was killed; None where there is nothing of the kind just now."""
        if kind == "database":
            assert self._postgres is not None
            self._postgres.kill()
            down = self._chance.uniform(*DOWN)
            time.sleep(down)
            self._postgres.start()
            return f"database, started again after {down:.1f} s"
        victims = jobs(self._home) if kind == "job" else of_kind(self._home, kind)
        if not victims:
            return None
        victim = self._chance.choice(victims)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        return f"{kind}, process {victim.pid}"


def of_kind(home: Path, kind: str) -> list[psutil.Process]:
    found = []
    for process in sorted(belonging(home), key=lambda process: process.pid):
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            # A job has its worker's command line, as it is forked from it
            is_job = parent is not None and WORDS["worker"] in " ".join(parent.cmdline())
            if WORDS[kind] in " ".join(process.cmdline()) and not is_job:
                found.append(process)
    return found


def jobs(home: Path) -> list[psutil.Process]:
    found = []
    for worker in of_kind(home, "worker"):
        with contextlib.suppress(psutil.Error):
            found += worker.children()
    return found


class Sweeps:
    """The same sweep, launched as often as it is asked for."""

    def __init__(self, http: httpx.Client, database: Database, epochs: int) -> None:
        self._http, self._database = http, database
        self._spec = {
            "model": {"key": "mlp", "params": {"hidden": 64, "activation": "silu"}},
            "regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "every": 4}},
            "optimizer": {"key": "sgd", "params": {"lr": 0.05, "momentum": 0.9}},
            "epochs": epochs, "batch_size": 100, "device": "cpu", "evaluations": [{"key": "accuracy"}],
        }
        self.launched = 0

    def launch(self) -> None:
        self.launched += 1
        body = {"name": f"sweep {self.launched}", "spec": self._spec, "sweep": SWEEP}
        patiently(lambda: self._http.post(
            "/experiments", json=body, headers={"Idempotency-Key": f"sweep-{self.launched}"}).raise_for_status())

    def unfinished(self) -> int:
        """Runs of which some task has not ended, by the database."""
        def count() -> int:
            with self._database.read() as session:
                found = list(runs.many(session, self._ids()).values())
                return sum(
                    not run.status.final or any(not item.status.final for item in evaluations.of_run(session, run.id))
                    for run in found
                )
        return patiently(count)

    def by_sweep(self) -> list[list[int]]:
        """Ids of the runs of each sweep, all in the order of the sweep."""
        with self._database.read() as session:
            found = experiments.listing(session, before=None, limit=1000)
        return [item.runs for item in reversed(found)]

    def _ids(self) -> list[int]:
        return [run for ids in self.by_sweep() for run in ids]


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer, once API and database are back."""
    deadline = time.monotonic() + UP_SECONDS
    while True:
        try:
            return ask()
        except (httpx.HTTPError, OperationalError) as error:
            refused = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if refused or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def until_ended(sweeps: Sweeps) -> None:
    deadline = time.monotonic() + END_SECONDS
    while sweeps.unfinished():
        if time.monotonic() > deadline:
            raise SystemExit(f"{sweeps.unfinished()} runs have not ended after {END_SECONDS:.0f} s")
        time.sleep(1)


def compare(database: Database, store: ArtifactStore, sweeps: Sweeps, outcome: Outcome) -> None:
    """Notes every run that is not as its counterpart of the first sweep."""
    first, *others = sweeps.by_sweep()
    if len(others) != sweeps.launched - 1:
        outcome.faults.append(f"{sweeps.launched} sweeps were launched, {len(others) + 1} are there")
    expected = [told(database, store, run) for run in first]
    for ids in others:
        for undisturbed, facts, run in zip(first, expected, ids, strict=True):
            outcome.runs += 1
            with database.read() as session:
                record = runs.get(session, run)
                outcome.resumed += any("goes on from the checkpoint" in line.text for line in logs.read(session, run))
            assert record is not None
            outcome.attempts += record.attempt
            if record.status != Status.SUCCEEDED:
                outcome.faults.append(f"run {run} is {record.status}: {record.error}")
                continue
            differing = [name for name, value in told(database, store, run).items() if value != facts[name]]
            if differing:
                outcome.faults.append(f"run {run} is not as run {undisturbed}: {', '.join(differing)}")


def told(database: Database, store: ArtifactStore, run: int) -> dict[str, Any]:
    """What must be the same however often a run was disturbed."""
    with database.read() as session:
        record = runs.get(session, run)
    assert record is not None
    return {"weights": weights_hash(database, store, run), "curves": metric_rows(database, run),
            "results": record.results}


def measure(kind: str, seconds: float, seed: int, epochs: int) -> Outcome:
    outcome = Outcome(seed)
    with contextlib.ExitStack() as held:
        postgres = held.enter_context(own_postgres()) if kind == "postgresql" else None
        home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="dl-chaos-"))) / "state"
        settings = Settings(home=home, api_port=free_port(), ui_port=free_port(),
                            database_url=postgres.url if postgres else "")
        environment = {
            **os.environ, "DENSITYLAB_HOME": str(home), "DENSITYLAB_API_PORT": str(settings.api_port),
            "DENSITYLAB_UI_PORT": str(settings.ui_port), "DENSITYLAB_DATABASE_URL": settings.database_url,
            "DENSITYLAB_WORKERS": "2", "DENSITYLAB_THREADS": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        }
        log = held.enter_context(Path(tempfile.mkstemp(prefix="dl-chaos-", suffix=".log")[1]).open("wb"))
        print(f"the system's own lines go to {log.name}", flush=True)
        launcher = start_launcher(environment, log.fileno())
        held.callback(launcher.wait)
        held.callback(launcher.terminate)
        http = held.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{settings.api_port}/api/v1", timeout=30))
        patiently(lambda: http.get("/runs").raise_for_status())
        database = Database(settings.database_url)
        held.callback(database.close)
        sweeps = Sweeps(http, database, epochs)
        began = time.monotonic()
        sweeps.launch()
        until_ended(sweeps)
        print(f"undisturbed: {len(sweeps.by_sweep()[0])} runs in {time.monotonic() - began:.0f} s", flush=True)
        killer = Killer(home, postgres, outcome)
        killer.start()
        began = time.monotonic()
        try:
            while time.monotonic() - began < seconds and killer.is_alive():
                if sweeps.unfinished() < WAITING:
                    sweeps.launch()
                time.sleep(1)
        finally:
            killer.stopped.set()
            killer.join()
        until_ended(sweeps)
        compare(database, ArtifactStore(settings.artifacts_url), sweeps, outcome)
        if launcher.poll() is not None:
            outcome.faults.append("the launcher has ended")
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40, help="of each run, 36 steps each")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    outcome = measure(arguments.database, arguments.seconds, arguments.seed, arguments.epochs)
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    kinds = Counter(kind for _, kind in outcome.kills)
    each = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    print(f"{len(outcome.kills)} kills ({each}), seed {outcome.seed}, {arguments.database}; {outcome.runs} runs in "
          f"{outcome.attempts} attempts, {outcome.resumed} went on from a checkpoint; {len(outcome.faults)} differ "
          "from the undisturbed ones or did not succeed")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(outcome), indent=2) + "\n")
    raise SystemExit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
