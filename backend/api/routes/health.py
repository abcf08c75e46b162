"""Liveness and readiness."""

import time
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.api.dependencies import DatabaseDep, QueueDep, SettingsDep, StoreDep
from densitylab.backend.broker.queue import BrokerUnavailable
from densitylab.backend.services import disks
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Answer, QueueName, Readiness, Status
from densitylab.backend.shared.database import explain
from densitylab.backend.shared.disk_full import DatabaseFull
from densitylab.backend.shared.store import database_connections, task_gauges, tasks

router = APIRouter(tags=["health"])
FULL_SECONDS = 30.0  # after an error that said so; the disk may be on another machine
UNDELIVERED_SECONDS = 30.0  # the reconciler delivers twice a second


class Alive(Answer):
    """State of the process."""

    status: Literal["ok"] = Field(default="ok", description="ok")


@router.get("/healthz")
def get_health() -> Alive:
    """Return ok: the process answers."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "The database does not answer"}})
def get_readiness(
    database: DatabaseDep, queue: QueueDep, store: StoreDep, settings: SettingsDep, response: Response
) -> Readiness:
    """Return whether launches are accepted and executed.

    200 while the broker is down: launches are accepted, and run once it is back. 200 also while a disk is full, if the
    database can be read. 503 while it cannot. `degraded` has a sentence for each problem.
    """
    counts: dict[Status, int] = {}
    problems: list[str] = []
    undelivered = 0.0
    database_state = broker_state = "ok"
    workers = dict.fromkeys(QueueName, 0)
    try:
        with database.read() as session:
            counts = tasks.counts(session)
            undelivered = task_gauges.longest_undelivered(session)
            connections = database_connections.used(session)
    except SQLAlchemyError as error:
        response.status_code = 503
        reason = explain(error).removeprefix("the database ")
        database_state = "its disk is full" if isinstance(error, DatabaseFull) else reason
        if not isinstance(error, DatabaseFull):  # else the disk is named below
            problems.append(f"The database {reason}: no request can be served.")
    else:
        if connections is not None and connections.used >= connections.limit:
            problems.append(
                f"The database has no free connection ({connections.used} of {connections.limit} are in use): "
                "requests and workers that need one fail."
            )
    try:
        workers = queue.workers()
    except SQLAlchemyError:
        broker_state = "not known"  # the names of its queues are in the database
    except BrokerUnavailable:
        broker_state = "does not answer"
        problems.append("The broker does not answer: launches are accepted, and run once it is back.")
    else:
        idle = [name for name, number in workers.items() if number == 0]
        if idle:
            problems.append(f"No worker serves the queues {', '.join(idle)}: their tasks wait.")
        if undelivered > UNDELIVERED_SECONDS:
            problems.append(f"Tasks have waited {undelivered:.0f} s for delivery: the reconciler is not running.")
    full = disks.problems(settings)
    if database.full_at is not None and time.monotonic() - database.full_at < FULL_SECONDS and not full:
        full = ["The disk of the database is full: launches are refused, and work waits until there is room."]
    problems += _store_problems(store) + full
    return Readiness(
        status="degraded" if problems else "ok",
        database=database_state,
        broker=broker_state,
        workers=workers,
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        degraded=problems,
    )


def _store_problems(store: ArtifactStore) -> list[str]:
    try:
        store.check()
    except OSError as error:
        return [f"Files cannot be stored ({type(error).__name__}): runs fail at their first checkpoint."]
    return []
