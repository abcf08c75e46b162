"""The answer to a request that became a task."""

from fastapi import Response

from backend.api.problems import not_found
from backend.delivery import deliver_or_leave
from backend.queue import Queue
from backend.shared.contracts import Task
from backend.shared.database import Database
from backend.shared.store import tasks


def accepted(task_id: int, database: Database, queue: Queue, response: Response) -> Task:
    """Delivers a task that is committed, and answers it with its Location."""
    deliver_or_leave(database, queue)
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    with database.read() as session:
        task = tasks.get(session, task_id)
    if task is None:
        raise not_found("task", task_id, "")
    return task
