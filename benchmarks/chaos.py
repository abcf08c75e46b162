"""Disturb a system at random during a sweep, and compare every run with an undisturbed one.

    python -m benchmarks.chaos [--seconds 600] [--database postgresql|sqlite] [--seed 1] [--epochs 40] [--json FILE]

The launcher starts the system: broker, API, reconciler, two training workers, an interactive one and the page. The
database is a temporary PostgreSQL server, which this script restarts, or SQLite, which has no process to kill. The
script runs a sweep once undisturbed. Then it launches the sweep again and again, for --seconds, while three threads
disturb the system (`benchmarks/disturbances.py`). One sends SIGKILL every 5 to 15 s to a worker, a job, the broker, the
API, the reconciler or the database, or damages the broker's log. One pauses processes and fills the disk (a small one,
as root). One does what users do: cancel, continue and delete runs, register and remove data sets, draw maps.

At the end every run must have ended like the run of the first sweep that has the same λ and seed: the bits of weights
and optimizer, all metric points, all results. No sweep exists twice, no run, data set or map is lost, and no file or
row is left over (`benchmarks/orphans.py`).
"""

import argparse
import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from benchmarks.disturbances import Disk, Disturber, Processes, Record, Users, small_disk
from benchmarks.orphans import orphans
from benchmarks.seed_database import free_port
from benchmarks.temp_postgres import TempPostgres, temp_postgres
from benchmarks.whole_system import metric_rows, start_launcher, weights_hash
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, evaluations, experiments, logs, runs
from densitylab.backend.shared.store.tasks import ACTIVE
from densitylab.backend.shared.tables import AttributionRow, TaskRow

KILLS = (5.0, 15.0)  # seconds between them
PAUSES = (2.0, 10.0)
REQUESTS = (1.0, 6.0)
SWEEP = {"lambda_": [0.0, 0.1], "seed": [0, 1, 2]}
WAITING = 6  # unfinished runs below which the sweep is launched again
UP_SECONDS, END_SECONDS = 300.0, 1800.0
CLEAN_SECONDS = 420.0  # in which the reconciler deletes what ended work has left: it looks every five minutes
Answer = TypeVar("Answer")


@dataclass
class Outcome:
    seed: int
    record: Record = field(default_factory=Record)
    runs: int = 0
    resumed: int = 0  # runs that continued from a checkpoint
    attempts: int = 0  # of all training tasks
    registrations: int = 0  # that were not cancelled
    maps: int = 0
    faults: list[str] = field(default_factory=list)


def disturbers(
    home: Path, postgres: TempPostgres | None, disk: Disk | None, http: httpx.Client, sweeps: "Sweeps", outcome: Outcome
) -> list[Disturber]:
    chance = random.Random(outcome.seed)
    processes = Processes(home, postgres, chance)
    users = Users(http, sweeps.later_runs, chance, outcome.record)
    kills: dict[str, Callable[[], str | None]] = {
        f"kill {kind}": partial(processes.kill, kind)
        for kind in ("worker", "job", "interactive worker", "broker", "api", "reconciler")
    }
    kills["damage broker log"] = processes.damage_broker_log
    if postgres is not None:
        kills["kill database"] = processes.kill_database
    pauses: dict[str, Callable[[], str | None]] = {
        f"pause {kind}": partial(processes.pause, kind) for kind in ("worker", "job", "api", "reconciler")
    }
    if disk is not None:
        pauses["fill disk"] = disk.fill
    requests = {"cancel": users.cancel, "register": users.register, "remove": users.remove, "draw": users.draw}
    return [
        Disturber(kinds, pause, outcome.seed, outcome.record)
        for kinds, pause in ((kills, KILLS), (pauses, PAUSES), (requests, REQUESTS))
    ]


class Sweeps:
    """Launches the same sweep repeatedly."""

    def __init__(self, http: httpx.Client, database: Database, epochs: int) -> None:
        self._http, self._database = http, database
        self._spec = {
            "model": {"key": "mlp", "params": {"hidden": 64, "activation": "silu"}},
            "regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "every": 4}},
            "optimizer": {"key": "sgd", "params": {"lr": 0.05, "momentum": 0.9}},
            "epochs": epochs,
            "batch_size": 100,
            "device": "cpu",
            "evaluations": [{"key": "accuracy"}],
        }
        self.launched = 0

    def launch(self) -> None:
        self.launched += 1
        body = {"name": f"sweep {self.launched}", "spec": self._spec, "sweep": SWEEP}
        retry_while_down(
            lambda: self._http.post(
                "/experiments", json=body, headers={"Idempotency-Key": f"sweep-{self.launched}"}
            ).raise_for_status()
        )

    def unfinished(self) -> int:
        """Return how many runs have a task that has not ended, from the database."""

        def count() -> int:
            with self._database.read() as session:
                launched = list(runs.many(session, self._ids()).values())
                return sum(
                    not run.status.final or any(not item.status.final for item in evaluations.of_run(session, run.id))
                    for run in launched
                )

        return retry_while_down(count)

    def by_sweep(self) -> list[list[int]]:
        """Return the run ids of each sweep, oldest sweep first."""
        with self._database.read() as session:
            newest_first = experiments.listing(session, before=None, limit=1000)
        return [item.runs for item in reversed(newest_first)]

    def later_runs(self) -> list[int]:
        """Return the ids of all runs but those of the first sweep."""
        return retry_while_down(lambda: [run for ids in self.by_sweep()[1:] for run in ids])

    def _ids(self) -> list[int]:
        return [run for ids in self.by_sweep() for run in ids]


def retry_while_down(ask: Callable[[], Answer]) -> Answer:
    """Call `ask` until the API and the database answer."""
    deadline = time.monotonic() + UP_SECONDS
    while True:
        try:
            return ask()
        except (httpx.HTTPError, OperationalError) as error:
            refused = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if refused or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def until_ended(sweeps: Sweeps, database: Database) -> None:
    """Wait for all work."""

    def active() -> int:
        with database.read() as session:
            return session.scalar(select(func.count()).where(TaskRow.status.in_(ACTIVE))) or 0

    deadline = time.monotonic() + END_SECONDS
    while sweeps.unfinished() or retry_while_down(active):
        if time.monotonic() > deadline:
            raise SystemExit(f"{sweeps.unfinished()} runs have not ended after {END_SECONDS:.0f} s")
        time.sleep(1)


def continue_cancelled(http: httpx.Client, database: Database, sweeps: Sweeps, record: Record) -> None:
    """Retry the cancelled runs whose deletion was not requested."""
    with database.read() as session:
        members = runs.many(session, sweeps.later_runs())
    for run in members.values():
        if run.status == Status.CANCELLED and run.id not in record.deleted:
            retry_while_down(partial(_retry, http, run.id))


def _retry(http: httpx.Client, run: int) -> None:
    answer = http.post(f"/runs/{run}/retry")
    if answer.status_code != 409:  # another attempt arrived, whose answer was lost
        answer.raise_for_status()


def compare(database: Database, store: ArtifactStore, sweeps: Sweeps, outcome: Outcome) -> None:
    """Record every run that differs from its counterpart in the first sweep, or is lost."""
    first, *others = sweeps.by_sweep()
    if len(others) != sweeps.launched - 1:
        outcome.faults.append(f"{sweeps.launched} sweeps were launched, {len(others) + 1} exist")
    with database.read() as session:
        members = runs.many(session, [run for ids in [first, *others] for run in ids])
    expected = {_identity(members[run].spec): reproducible_facts(database, store, run) for run in first}
    for ids in others:
        missing = len(SWEEP["lambda_"]) * len(SWEEP["seed"]) - len(ids)
        if missing > len(outcome.record.deleted):
            outcome.faults.append(f"{missing} runs are lost beside runs {ids}")
        for run in ids:
            record = members[run]
            if record.status == Status.CANCELLED and run in outcome.record.deleted:
                continue  # the request to delete it was lost
            outcome.runs += 1
            outcome.attempts += record.attempt
            with database.read() as session:
                outcome.resumed += any("continues from the checkpoint" in line.text for line in logs.read(session, run))
            if record.status != Status.SUCCEEDED:
                outcome.faults.append(f"run {run} is {record.status}: {record.error}")
                continue
            facts = reproducible_facts(database, store, run)
            differing = [name for name, value in expected[_identity(record.spec)].items() if facts[name] != value]
            if differing:
                outcome.faults.append(f"run {run} differs from the undisturbed one: {', '.join(differing)}")


def _identity(spec: Any) -> tuple[float, int]:
    return spec.lambda_, spec.seed


def check_registrations(database: Database, outcome: Outcome) -> None:
    """Record every data set that was registered, not cancelled and not removed, and is missing or differs."""
    hashes = set()
    for key, cancelled in outcome.record.registered.items():
        with database.read() as session:
            row = datasets.get(session, key, {})
        if cancelled or key in outcome.record.removed:
            continue
        outcome.registrations += 1
        if row is None or not row.ready:
            outcome.faults.append(f"the data set {key} is lost: its registration was accepted and not cancelled")
        else:
            hashes.add(row.data_hash)
    if len(hashes) > 1:
        outcome.faults.append(f"the same images were registered with {len(hashes)} different hashes")


def check_maps(database: Database, store: ArtifactStore, outcome: Outcome) -> None:
    """Record every request for maps that failed."""
    with database.read() as session:
        rows = session.execute(select(AttributionRow, TaskRow).join(TaskRow, AttributionRow.task_id == TaskRow.id))
        for maps, task in rows.all():
            outcome.maps += 1
            removed = outcome.record.deleted & set(maps.request["runs"])
            if task.status != Status.SUCCEEDED and not removed:
                outcome.faults.append(f"the maps {maps.id} are {task.status}: {task.error}")
            elif maps.location is not None:
                store.read(maps.location)


def reproducible_facts(database: Database, store: ArtifactStore, run: int) -> dict[str, Any]:
    """Return everything that interruptions must not change."""
    with database.read() as session:
        record = runs.get(session, run)
    assert record is not None
    return {
        "weights": weights_hash(database, store, run),
        "curves": metric_rows(database, run),
        "results": record.results,
    }


def measure(kind: str, seconds: float, seed: int, epochs: int) -> Outcome:
    outcome = Outcome(seed)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(temp_postgres()) if kind == "postgresql" else None
        folder, disk = stack.enter_context(small_disk(random.Random(seed)))
        home = folder / "state"
        settings = Settings(
            home=home, api_port=free_port(), ui_port=free_port(), database_url=postgres.url if postgres else ""
        )
        environment = {
            **os.environ,
            "DENSITYLAB_HOME": str(home),
            "DENSITYLAB_API_PORT": str(settings.api_port),
            "DENSITYLAB_UI_PORT": str(settings.ui_port),
            "DENSITYLAB_DATABASE_URL": settings.database_url,
            "DENSITYLAB_WORKERS": "2",
            "DENSITYLAB_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        log = stack.enter_context(Path(tempfile.mkstemp(prefix="dl-chaos-", suffix=".log")[1]).open("wb"))
        print(f"the log of the system is {log.name}", flush=True)
        launcher = start_launcher(environment, log.fileno())
        stack.callback(launcher.wait)
        stack.callback(launcher.terminate)
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{settings.api_port}/api/v1", timeout=30))
        retry_while_down(lambda: http.get("/runs").raise_for_status())
        database = Database(settings.database_url)
        stack.callback(database.close)
        sweeps = Sweeps(http, database, epochs)
        began = time.monotonic()
        sweeps.launch()
        until_ended(sweeps, database)
        print(f"undisturbed: {len(sweeps.by_sweep()[0])} runs in {time.monotonic() - began:.0f} s", flush=True)
        threads = disturbers(home, postgres, disk, http, sweeps, outcome)
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            while time.monotonic() - began < seconds and all(thread.is_alive() for thread in threads):
                if sweeps.unfinished() < WAITING:
                    sweeps.launch()
                time.sleep(1)
        finally:
            for thread in threads:
                thread.stopped.set()
            for thread in threads:
                thread.join()
        if time.monotonic() - began < seconds:
            outcome.faults.append("a disturber has ended early")
        continue_cancelled(http, database, sweeps, outcome.record)
        until_ended(sweeps, database)
        deadline = time.monotonic() + CLEAN_SECONDS
        while (left := orphans(settings)) and time.monotonic() < deadline:
            time.sleep(5)
        store = ArtifactStore(settings.artifacts_url)
        compare(database, store, sweeps, outcome)
        check_registrations(database, outcome)
        check_maps(database, store, outcome)
        outcome.faults += str(left).splitlines()
        if launcher.poll() is not None:
            outcome.faults.append("the launcher has ended")
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40, help="epochs per run, of 36 steps each")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    outcome = measure(arguments.database, arguments.seconds, arguments.seed, arguments.epochs)
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    each = ", ".join(f"{kind} {number}" for kind, number in sorted(outcome.record.count().items()))
    print(
        f"{len(outcome.record.actions)} disturbances ({each}), seed {outcome.seed}, {arguments.database}; "
        f"{outcome.runs} runs in {outcome.attempts} attempts, {outcome.resumed} continued from a checkpoint; "
        f"{outcome.registrations} registrations, {outcome.maps} maps; {len(outcome.faults)} faults"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(outcome), indent=2, default=sorted) + "\n")
    raise SystemExit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
