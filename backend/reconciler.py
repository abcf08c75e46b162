"""Sees to what nobody else can: `python -m backend.reconciler`, one per system, outside API and workers.

Delivers queued work, takes back the work of dead workers, stops what does not heed its cancel, finishes interrupted
deletions, keeps the cache of maps within its budget. A broker or a database that is down costs one line in the log;
the duty is done when it is back.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from backend import deletion, launching, removing, webhooks
from backend.delivery import deliver
from backend.queue import BrokerDown, Queue
from backend.shared import log_lines, specs
from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import CATALOG
from backend.shared.contracts import TaskKind
from backend.shared.database import Database, now
from backend.shared.settings import Settings, explain
from backend.shared.store import datasets, events, outbox, tasks, uploads

logger = logging.getLogger(__name__)

HARD_STOP_SECONDS = 10.0  # after a cancel was asked for
LOST_SECONDS = 5.0  # after a delivery: by then its worker has claimed it, or it is still on its queue
CACHE_BYTES = 2 * 2**30  # of maps
KEPT_UPLOADS = 2000  # of at most some hundred KB each
FORGET_SECONDS = 7 * 24 * 3600.0  # finished preparations are kept that long
ALIVE_SECONDS = 60.0  # without a sign of life after which it counts as dead
EVENT_SECONDS = 30 * 24 * 3600.0  # and events, with their deliveries


@dataclass(frozen=True)
class System:
    """What the duties work on."""

    database: Database
    store: ArtifactStore
    queue: Queue
    data_dir: Path
    webhook_private: bool = False


def deliver_queued_work(system: System) -> None:
    """What was queued while the broker was down, given back, reaped, or waited for a training that has ended."""
    while deliver(system.database, system.queue):
        pass


def take_back_expired_work(system: System) -> None:
    """The work of workers that died or hang goes to others."""
    with system.database.write() as session:
        reaped = tasks.reap(session)
    if reaped:
        logger.info("took back after their lease had expired: tasks %s", ", ".join(map(str, reaped)))


def redeliver_lost_work(system: System) -> None:
    """A queued task that was delivered and is on no queue was lost with the broker's data, or with its worker."""
    with system.database.read() as session:
        outstanding = outbox.outstanding(session, LOST_SECONDS)
    if not outstanding:
        return
    waiting = system.queue.waiting()
    lost = [(task_id, delivery) for task_id, _, delivery in outstanding if (task_id, delivery) not in waiting]
    if lost:
        with system.database.write() as session:
            for task_id, delivery in lost:
                outbox.mark_lost(session, task_id, delivery)
        logger.info("no longer with the broker, so delivered again: tasks %s", ", ".join(str(item[0]) for item in lost))


def stop_what_ignores_its_cancel(system: System) -> None:
    """Kills the work-horse; whatever still runs can write no more."""
    with system.database.read() as session:
        overdue = tasks.overdue_cancels(session, HARD_STOP_SECONDS)
    for task_id, delivery, worker in overdue:
        with system.database.write() as session:
            tasks.end_cancelled(session, task_id)
        logger.info("task %s did not stop within %g s of its cancel; it is stopped hard", task_id, HARD_STOP_SECONDS)
        if worker is not None:
            system.queue.stop(worker, task_id, delivery)


def finish_deletions(system: System) -> None:
    """Those whose API process died between marking and removing."""
    finished = deletion.finish_interrupted(system.database, system.store)
    if finished:
        logger.info("finished %d interrupted deletions", finished)
    removed = removing.finish_interrupted(system.database, system.store, system.data_dir)
    if removed:
        logger.info("finished removing %d data sets", removed)


def shrink_the_cache(system: System) -> None:
    removed = deletion.shrink_cache(system.database, system.store, CACHE_BYTES)
    if removed:
        logger.info("removed the %d maps used longest ago, to keep the cache within its budget", removed)


def forget_old_uploads(system: System) -> None:
    with system.database.write() as session:
        uploads.forget_oldest(session, KEPT_UPLOADS)


def forget_old_preparations(system: System) -> None:
    with system.database.write() as session:
        for kind in (TaskKind.PREPARE, TaskKind.REGISTER):
            tasks.forget_finished(session, kind, now(session) - FORGET_SECONDS)


def forget_old_events(system: System) -> None:
    with system.database.write() as session:
        events.forget(session, now(session) - EVENT_SECONDS)


def tell_webhooks(system: System) -> None:
    webhooks.send_due(system.database, allow_private=system.webhook_private)


def prepare_embedded_data(system: System) -> None:
    """What needs no download is made ready before somebody asks for it; one that failed is left to its Retry."""
    for entry in CATALOG["dataset"]:
        _, params = specs.complete_params("dataset", entry.key, {}, "", [])
        if entry.embedded:
            with system.database.write() as session:
                if datasets.get(session, entry.key, params) is None:
                    launching.prepare(session, entry.key, params)


@dataclass
class Duty:
    """Something to do every so often; an outage is said once, and its end too."""

    do: Callable[[System], None]
    every: float  # seconds
    due: float = 0.0
    failing: bool = False

    def attempt(self, system: System) -> None:
        """Does it if it is due."""
        if time.monotonic() < self.due:
            return
        name = self.do.__name__.replace("_", " ")
        try:
            self.do(system)
        except (BrokerDown, SQLAlchemyError, OSError) as error:
            if not self.failing:
                cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                logger.warning("cannot %s for now: %s", name, cause)
            self.failing = True
        else:
            if self.failing:
                logger.info("can %s again", name)
            self.failing = False
        self.due = time.monotonic() + self.every


def duties() -> list[Duty]:
    """Everything that the reconciler sees to, with how often, in seconds."""
    return [
        Duty(prepare_embedded_data, 3600),
        Duty(deliver_queued_work, 0.5),
        Duty(take_back_expired_work, 2),
        Duty(stop_what_ignores_its_cancel, 1),
        Duty(redeliver_lost_work, 2),
        Duty(finish_deletions, 10),
        Duty(shrink_the_cache, 30),
        Duty(forget_old_preparations, 3600),
        Duty(forget_old_uploads, 3600),
        Duty(forget_old_events, 3600),
    ]


def _attend(duties: list[Duty], system: System, stop: threading.Event) -> None:
    while not stop.is_set():
        for duty in duties:
            duty.attempt(system)
        stop.wait(0.1)


def reconcile(settings: Settings, stop: threading.Event) -> None:
    """Attends to its duties until `stop` is set."""
    system = System(
        Database(settings.database_url), ArtifactStore(settings.artifacts_url), Queue(settings.redis_url),
        settings.data_dir, settings.webhook_private,
    )
    # In a thread of its own: a receiver that hangs must not keep the rest from its time
    teller = threading.Thread(target=_attend, args=([Duty(tell_webhooks, 1)], system, stop), name="webhooks")
    teller.start()

    def show_signs_of_life(_system: System) -> None:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sign_of_life(settings).touch()

    _attend([*duties(), Duty(show_signs_of_life, 5)], system, stop)
    teller.join()
    system.queue.close()
    system.database.close()


def _sign_of_life(settings: Settings) -> Path:
    return settings.home / "reconciler.alive"


def _is_alive(settings: Settings) -> bool:
    try:
        return time.time() - _sign_of_life(settings).stat().st_mtime < ALIVE_SECONDS
    except FileNotFoundError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description="See to what nobody else can.")
    parser.add_argument("--alive", action="store_true", help="end with 0 where one with this state folder works")
    arguments = parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return 1
    if arguments.alive:
        return 0 if _is_alive(settings) else 1
    log_lines.set_up(settings.log_format)
    asked_to_stop: list[int] = []
    stop = threading.Event()
    # An Event may deadlock when a handler sets it while the main thread waits on it: the loop runs in another one
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: asked_to_stop.append(received))
    loop = threading.Thread(target=reconcile, args=(settings, stop), name="reconciler")
    loop.start()
    while loop.is_alive() and not asked_to_stop:
        loop.join(0.2)
    stop.set()
    loop.join()
    return 0 if asked_to_stop else 1


if __name__ == "__main__":
    sys.exit(main())
