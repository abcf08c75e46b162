"""One action on many records. Not below /runs, where "bulk" would be taken for a run's id."""

from fastapi import APIRouter

from backend import bulk
from backend.api.dependencies import DatabaseDep, QueueDep, StoreDep
from backend.api.problems import responses
from backend.delivery import deliver_or_leave
from backend.shared.contracts import BulkAction, BulkAnswer, BulkRequest

router = APIRouter(prefix="/bulk", tags=["runs"])


@router.post("/runs", responses=responses(400, 413, 422))
def act_on_runs(body: BulkRequest, database: DatabaseDep, store: StoreDep, queue: QueueDep) -> BulkAnswer:
    """Cancels, retries, archives, unarchives or deletes many runs; each has an outcome of its own, also where it is
    refused. `dry_run` does nothing and says what would be done, with the bytes that a deletion would free."""
    answer = bulk.act(database, store, body)
    if body.action == BulkAction.RETRY and not body.dry_run:
        deliver_or_leave(database, queue)
    return answer
