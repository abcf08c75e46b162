"""One action on many runs. Not below /runs, where "bulk" would be parsed as a run's id."""

from densitylab.backend.api.dependencies import CallerDep, DatabaseDep, QueueDep, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services import bulk
from densitylab.backend.shared.contracts import BulkAction, BulkAnswer, BulkRequest

router = resource_router("runs", "/bulk")


@router.post("/runs", responses=responses(400, 413, 422))
def act_on_runs(
    body: BulkRequest, database: DatabaseDep, store: StoreDep, queue: QueueDep, caller: CallerDep
) -> BulkAnswer:
    """Cancel, retry, archive, unarchive or delete many runs. Each run has its own outcome, and a refusal of one does
    not stop the others. With `dry_run`, nothing is changed and the outcomes say what would happen."""
    answer = bulk.act(database, store, body, caller)
    if body.action == BulkAction.RETRY and not body.dry_run:
        try_deliver(database, queue)
    return answer
