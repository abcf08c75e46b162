"""The response to a request that queued a task."""

from fastapi import Response

from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.idempotency import DeletedSince
from densitylab.backend.shared.contracts import Task
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import tasks


def task_response(task_id: int, database: Database, queue: Queue, response: Response) -> Task:
    """Deliver a committed task; return it, with its Location."""
    try_deliver(database, queue)
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    with database.read() as session:
        task = tasks.get(session, task_id)
    if task is None:
        raise DeletedSince(f"task {task_id}")
    return task
