"""Mean penalties of a regularizer, from which a λ for other parameters follows."""

from typing import Annotated

from fastapi import Path, Response
from sqlalchemy.orm import Session

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.task_response import task_response
from densitylab.backend.services import penalties
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared.contracts import PenaltyComparison, PenaltyRequest, Task
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import penalties as store_penalties

router = resource_router("penalties", "/penalties")


@router.post("", status_code=202, responses=responses(400, 404, 409, 413, 422))
def compare_penalties(
    body: PenaltyRequest,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
    response: Response,
) -> Task:
    """Compute the mean penalty of a spec's regularizer, and with reference parameters, on training images; return the
    task. Once it has succeeded, GET /penalties/{id} returns both and the λ that follows; it is deleted a day later."""

    def make(session: Session) -> int:
        return penalties.request(session, catalog, queue, body, key.caller)

    task_id = once(database, key, {"penalties": body.model_dump(mode="json")}, make).made
    return task_response(task_id, database, queue, response)


@router.get("/{task_id}", responses=responses(404, 422))
def get_penalties(
    task_id: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the task")], session: Reading
) -> PenaltyComparison:
    """Return the mean penalties and the suggested λ, once their task has succeeded."""
    found = store_penalties.get(session, task_id)
    if found is None:
        raise NotFound("comparison of penalties that has succeeded", task_id, "/path/task_id")
    return found
