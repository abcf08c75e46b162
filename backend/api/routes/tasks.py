"""Tasks: units of work with a status."""

from typing import Annotated

from fastapi import Path

from densitylab.backend.api.dependencies import DatabaseDep, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.shared.contracts import Task
from densitylab.backend.shared.errors import Conflict, NotFound
from densitylab.backend.shared.store import tasks

router = resource_router("tasks", "/tasks")
TaskId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the task")]


@router.get("/{task_id}", responses=responses(404, 422))
def get_task(task_id: TaskId, session: Reading) -> Task:
    """Return the task with its status and progress."""
    task = tasks.get(session, task_id)
    if task is None:
        raise NotFound("task", task_id, "/path/task_id")
    return task


@router.post("/{task_id}/cancel", status_code=202, responses=responses(404, 409, 422))
def cancel_task(task_id: TaskId, database: DatabaseDep) -> Task:
    """Cancel a queued task, or ask a running one to stop. 409 if it has ended."""
    with database.write() as session:
        task = tasks.get(session, task_id)
        if task is not None and task.status.final:
            raise Conflict(f"task {task_id} has ended ({task.status}): there is nothing to cancel")
        tasks.request_cancel(session, task_id)
        session.expire_all()
        task = tasks.get(session, task_id)
        if task is None:
            raise NotFound("task", task_id, "/path/task_id")
    return task
