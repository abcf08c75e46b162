"""Whether the system is up."""

import shutil
from pathlib import Path

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from backend.api.dependencies import DatabaseDep, QueueDep, SettingsDep, StoreDep
from backend.queue import BrokerDown
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import QueueName, Readiness, Status
from backend.shared.store import task_gauges, tasks

router = APIRouter(tags=["health"])
UNDELIVERED_SECONDS = 30.0  # the reconciler delivers twice a second
FREE_BYTES = 2**30


class Alive(BaseModel):
    status: str = "ok"


@router.get("/healthz")
def get_health() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "The database does not answer"}})
def get_readiness(
    database: DatabaseDep, queue: QueueDep, store: StoreDep, settings: SettingsDep, response: Response
) -> Readiness:
    """Whether work can be taken and done.

    200 where the broker is down: launches are still taken, and run when it is back. 503 where the database is down,
    without which nothing can be taken. `degraded` has a sentence for each thing that is not as it should be.
    """
    counts: dict[Status, int] = {}
    wrong: list[str] = []
    undelivered = 0.0
    database_state = broker_state = "ok"
    workers = dict.fromkeys(QueueName, 0)
    try:
        with database.read() as session:
            counts = tasks.counts(session)
            undelivered = task_gauges.longest_undelivered(session)
    except SQLAlchemyError:
        database_state = "does not answer"
        response.status_code = 503
        wrong.append("The database does not answer: nothing can be taken or shown.")
    try:
        workers = queue.workers()
    except BrokerDown:
        broker_state = "does not answer"
        wrong.append("The broker does not answer: launches are taken, and run when it is back.")
    else:
        idle = [name for name, number in workers.items() if number == 0]
        if idle:
            wrong.append(f"No worker serves {', '.join(idle)}: such work waits.")
        if undelivered > UNDELIVERED_SECONDS:
            wrong.append(f"Work has waited {undelivered:.0f} s to go to the broker: the reconciler does not run.")
    wrong += _storage(store, settings.home)
    return Readiness(
        status="degraded" if wrong else "ok", database=database_state,
        broker=broker_state, workers=workers, queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0), degraded=wrong,
    )


def _storage(store: ArtifactStore, home: Path) -> list[str]:
    wrong = []
    try:
        store.check()
    except OSError as error:
        wrong.append(f"Files cannot be stored ({type(error).__name__}): runs fail at their first checkpoint.")
    if home.exists() and (free := shutil.disk_usage(home).free) < FREE_BYTES:
        wrong.append(f"The disk of the state folder has {free / 2**20:.0f} MiB left.")
    return wrong
