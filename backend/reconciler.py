"""The reconciler: `python -m densitylab.backend.reconciler`, one per system, outside API and workers.

It redelivers tasks, takes the next steps of searches, has the λ that studies select evaluated, stops pruned trials,
reclaims expired leases, fails logged runs that are silent, kills tasks that ignore a cancel, finishes interrupted
deletions, keeps the cache of maps within its budget, and sends webhooks. While the broker or the database is down it
logs one line, and continues once it is back.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.broker.delivery import Comparison, deliver
from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.services import (
    dataset_removal,
    deletion,
    leftovers,
    optuna_searches,
    pruning,
    searches,
    study_evaluations,
)
from densitylab.backend.services.datasets import prepare
from densitylab.backend.services.webhooks import WebhookSender
from densitylab.backend.shared import data_leftovers, log_format, specs
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.store import datasets, experiments, logged_runs, studies, tasks, totals

logger = logging.getLogger(__name__)

HARD_STOP_SECONDS = 10.0  # after a cancel was requested
LOCK_SECONDS = 10.0  # for which a periodic task waits for another transaction; then the next one has its turn


@dataclass(frozen=True)
class System:
    """The resources that the periodic tasks use."""

    database: Database
    store: ArtifactStore
    queue: Queue
    data_dir: Path
    catalog: Catalog
    retention: pruning.Retention = field(default_factory=pruning.Retention)
    comparison: Comparison = field(default_factory=Comparison)
    # By the experiment of a search: the state of its tasks, and that of its running curves, when they were looked at
    searches: dict[int, str] = field(default_factory=dict)
    judged: dict[int, str] = field(default_factory=dict)
    studies: dict[int, str] = field(default_factory=dict)  # those that wait for nothing: their launches then


def deliver_queued_tasks(system: System) -> None:
    """Deliver tasks that were queued while the broker was down, released, reclaimed, or waited for a training."""
    while deliver(system.database, system.queue):
        pass


def reclaim_expired_leases(system: System) -> None:
    """Queue the tasks of workers that died or hang again."""
    with system.database.write() as session:
        reaped = tasks.reap(session)
    if reaped:
        logger.info("reclaimed expired leases: tasks %s", ", ".join(map(str, reaped)))


def fail_silent_runs(system: System) -> None:
    """Fail logged runs whose training loops have been silent for too long."""
    with system.database.write() as session:
        silent = logged_runs.fail_silent(session)
    if silent:
        logger.info("failed runs of which nothing was heard: %s", ", ".join(map(str, silent)))


def compare_queues(system: System) -> None:
    """Withdraw jobs of the broker that no task needs, and mark tasks as undelivered that the broker has lost."""
    lost = system.comparison.repair(system.database, system.queue)
    if lost:
        logger.info("tasks lost by the broker, delivered again: %d", lost)


def kill_overdue_cancels(system: System) -> None:
    """End cancelled tasks that still run, and kill their processes; these can no longer write."""
    with system.database.read() as session:
        overdue = tasks.overdue_cancels(session, HARD_STOP_SECONDS)
    for task_id, delivery, worker in overdue:
        with system.database.write() as session:
            tasks.end_cancelled(session, task_id)
        logger.info("task %s did not stop within %g s of its cancel: killing it", task_id, HARD_STOP_SECONDS)
        if worker is not None:
            system.queue.stop(worker, task_id, delivery)


def advance_searches(system: System) -> None:
    """Launch what comes next in searches whose runs have ended."""
    with system.database.read() as session:
        found = experiments.searching(session)
    for experiment_id, state in found:
        if system.searches.get(experiment_id) != state:
            if searches.advance(system.database, system.catalog, experiment_id):
                logger.info("the search of experiment %d has taken a step", experiment_id)
            system.searches[experiment_id] = state


def prune_trials(system: System) -> None:
    """Stop the trainings of trials that have fallen behind earlier ones of their search."""
    with system.database.read() as session:
        found = experiments.searching(session)
    for experiment_id, _ in found:
        judged = system.judged.get(experiment_id, "")
        system.judged[experiment_id] = optuna_searches.prune(system.database, experiment_id, judged)


def evaluate_selected(system: System) -> None:
    """Request the evaluations of the λ that studies select once their runs have ended."""
    with system.database.read() as session:
        states = studies.states(session)
    for study_id, state in states.items():
        if system.studies.get(study_id) != state and study_evaluations.request_due(
            system.database, system.catalog, system.queue, system.store, study_id
        ):
            system.studies[study_id] = state


def finish_deletions(system: System) -> None:
    """Finish deletions whose API process died between marking and removing."""
    finished = deletion.finish_interrupted(system.database, system.store)
    if finished:
        logger.info("finished %d interrupted deletions", finished)
    removed = dataset_removal.finish_interrupted(system.database, system.store, system.data_dir)
    if removed:
        logger.info("finished removing %d data sets", removed)


def shrink_cache(system: System) -> None:
    removed = deletion.shrink_cache(system.database, system.store, system.retention.map_bytes)
    if removed:
        logger.info("removed the %d least recently used maps to keep the cache within its budget", removed)


def delete_ended_archives(system: System) -> None:
    leftovers.delete_archives(system.database, system.store)


def delete_leftovers(system: System) -> None:
    """Delete what killed, cancelled and interrupted work left in the data folder of this host."""
    deleted = data_leftovers.delete(system.database, system.data_dir)
    if deleted:
        logger.info("deleted %d files and folders that ended tasks had left in the data folder", deleted)


def delete_orphans(system: System) -> None:
    """Delete stored files without a row."""
    deleted = leftovers.delete_orphans(system.database, system.store)
    if deleted:
        logger.info("deleted %d files that nothing refers to", deleted)


def merge_totals(system: System) -> None:
    """Add up the differences from which totals are read."""
    with system.database.write() as session:
        totals.merge(session)


def delete_old_rows(system: System) -> None:
    deleted = pruning.prune(system.database, system.retention)
    if deleted:
        logger.info("deleted %d rows that had reached their age", deleted)


def prepare_embedded_data(system: System) -> None:
    """Prepare data sets that need no download before they are requested; a failed one waits for its Retry."""
    for entry in system.catalog.all(DatasetEntry):
        _, params = specs.complete_params(system.catalog, entry.kind, entry.key, {}, "", [])
        if entry.embedded:
            with system.database.write() as session:
                if datasets.get(session, entry.key, params) is None:
                    prepare(session, entry.key, params)


@dataclass
class PeriodicTask:
    """A function to call at an interval; the start and the end of an outage are logged once."""

    function: Callable[[System], None]
    every: float  # seconds
    due: float = 0.0
    failing: bool = False

    def attempt(self, system: System) -> None:
        """Call it if it is due."""
        if time.monotonic() < self.due:
            return
        name = self.function.__name__.replace("_", " ")
        try:
            self.function(system)
        except (BrokerUnavailable, SQLAlchemyError, OSError) as error:
            if not self.failing:
                cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                logger.warning("cannot %s for now: %s", name, cause)
            self.failing = True
        else:
            if self.failing:
                logger.info("can %s again", name)
            self.failing = False
        self.due = time.monotonic() + self.every


def periodic_tasks() -> list[PeriodicTask]:
    """Return what the reconciler does, with the intervals in seconds."""
    return [
        PeriodicTask(prepare_embedded_data, 3600),
        PeriodicTask(deliver_queued_tasks, 0.5),
        PeriodicTask(reclaim_expired_leases, 2),
        PeriodicTask(kill_overdue_cancels, 1),
        PeriodicTask(fail_silent_runs, 10),
        PeriodicTask(compare_queues, 1),
        PeriodicTask(prune_trials, 2),
        PeriodicTask(advance_searches, 1),
        PeriodicTask(evaluate_selected, 5),
        PeriodicTask(finish_deletions, 10),
    ]


def cleaning_tasks() -> list[PeriodicTask]:
    """Return what deletes old rows and files, with the intervals in seconds."""
    return [
        PeriodicTask(shrink_cache, 30),
        PeriodicTask(merge_totals, 30),
        PeriodicTask(delete_ended_archives, 10),
        PeriodicTask(delete_leftovers, 30),
        PeriodicTask(delete_orphans, 300),
        PeriodicTask(delete_old_rows, 3600),
    ]


def _run(periodic_tasks: list[PeriodicTask], system: System, stop: threading.Event) -> None:
    while not stop.is_set():
        for task in periodic_tasks:
            task.attempt(system)
        stop.wait(0.1)


def reconcile(settings: Settings, stop: threading.Event) -> None:
    """Run the periodic tasks until `stop` is set."""
    database = Database(settings.database_url, lock_seconds=LOCK_SECONDS)
    system = System(
        database,
        ArtifactStore(settings.artifacts_url),
        Queue(settings.redis_url, database),
        settings.data_dir,
        Catalog.installed(),
        pruning.Retention.of(settings),
    )
    sender = WebhookSender(database, allow_private=settings.webhook_private)

    def send_webhooks(_system: System) -> None:
        sender.send_due()

    def in_background(own_tasks: list[PeriodicTask]) -> None:
        try:
            _run(own_tasks, system, stop)
        finally:
            stop.set()  # an unexpected error ends the process, and the launcher starts it again

    # In threads of their own: neither a receiver that hangs nor a long list of files delays the rest
    background = {"webhooks": [PeriodicTask(send_webhooks, 1)], "cleaning": cleaning_tasks()}
    threads = [
        threading.Thread(target=in_background, args=(own_tasks,), name=name) for name, own_tasks in background.items()
    ]
    for thread in threads:
        thread.start()

    alive = settings.alive_file("reconciler")

    def heartbeat(_system: System) -> None:
        alive.touch()

    _run([*periodic_tasks(), PeriodicTask(heartbeat, 5)], system, stop)
    for thread in threads:
        thread.join()
    alive.unlink(missing_ok=True)
    sender.close()
    system.queue.close()
    system.database.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Redeliver tasks, reclaim expired leases, finish deletions, send webhooks."
    )
    parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return 1
    log_format.set_up(settings.log_format)
    stop_signals: list[int] = []
    stop = threading.Event()
    # An Event can deadlock if a handler sets it while the main thread waits on it: run the loop in another thread
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop_signals.append(received))
    loop = threading.Thread(target=reconcile, args=(settings, stop), name="reconciler")
    loop.start()
    while loop.is_alive() and not stop_signals:
        loop.join(0.2)
    stop.set()
    loop.join()
    return 0 if stop_signals else 1


if __name__ == "__main__":
    sys.exit(main())
