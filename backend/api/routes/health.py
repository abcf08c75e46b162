"""Whether the system is up."""

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from backend.api.dependencies import DatabaseDep, QueueDep
from backend.queue import BrokerDown
from backend.shared.contracts import QueueName, Readiness, Status
from backend.shared.store import tasks

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = "ok"


@router.get("/healthz")
def get_health() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "The database does not answer"}})
def get_readiness(database: DatabaseDep, queue: QueueDep, response: Response) -> Readiness:
    """Whether work can be taken and done.

    200 with `degraded` where the broker is down: launches are still taken, and run when it is back. 503 where the
    database is down, without which nothing can be taken.
    """
    counts: dict[Status, int] = {}
    database_state = broker_state = "ok"
    workers = dict.fromkeys(QueueName, 0)
    try:
        with database.read() as session:
            counts = tasks.counts(session)
    except SQLAlchemyError:
        database_state = "does not answer"
        response.status_code = 503
    try:
        workers = queue.workers()
    except BrokerDown:
        broker_state = "does not answer"
    return Readiness(
        status="ok" if database_state == broker_state == "ok" else "degraded", database=database_state,
        broker=broker_state, workers=workers, queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
    )
