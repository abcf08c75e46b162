"""Pieces of work."""

from typing import Annotated

from fastapi import APIRouter, Path

from backend.api.dependencies import DatabaseDep, Reading
from backend.api.problems import not_found, responses
from backend.shared.contracts import Task
from backend.shared.store import tasks

router = APIRouter(prefix="/tasks", tags=["tasks"])
TaskId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/{task_id}", responses=responses(404, 422))
def get_task(task_id: TaskId, session: Reading) -> Task:
    task = tasks.get(session, task_id)
    if task is None:
        raise not_found("task", task_id, "/path/task_id")
    return task


@router.post("/{task_id}/cancel", status_code=202, responses=responses(404, 422))
def cancel_task(task_id: TaskId, database: DatabaseDep) -> Task:
    """Ends queued work at once and asks running work to stop; what has ended stays as it is."""
    with database.write() as session:
        task = tasks.request_cancel(session, task_id)
        if task is None:
            raise not_found("task", task_id, "/path/task_id")
    return task
