"""One action on many runs: each has an outcome of its own, and none stops the others."""

from backend import deletion
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import BulkAction, BulkAnswer, BulkOutcome, BulkRequest
from backend.shared.database import Database
from backend.shared.store import runs, tasks


def act(database: Database, store: ArtifactStore, request: BulkRequest) -> BulkAnswer:
    """Does it, or with `dry_run` says what would be done; the caller delivers what a retry has queued."""
    outcomes = [_act(database, store, request, run_id) for run_id in dict.fromkeys(request.runs)]
    return BulkAnswer(
        action=request.action, dry_run=request.dry_run, done=sum(item.done for item in outcomes),
        refused=sum(not item.done for item in outcomes), bytes=sum(item.bytes for item in outcomes),
        outcomes=outcomes,
    )


def _act(database: Database, store: ArtifactStore, request: BulkRequest, run_id: int) -> BulkOutcome:
    if request.action == BulkAction.DELETE and not request.dry_run:
        try:
            return BulkOutcome(run=run_id, done=True, bytes=deletion.delete_run(database, store, run_id))
        except deletion.Gone:
            return _missing(run_id)
        except deletion.StillActive as active:
            return BulkOutcome(run=run_id, done=False, detail=str(active))
    with database.read() if request.dry_run else database.write() as session:
        cancel = request.action == BulkAction.CANCEL
        if not (runs.exists if cancel else runs.lock)(session, run_id):
            return _missing(run_id)
        match request.action:
            case BulkAction.CANCEL | BulkAction.RETRY:
                found = (tasks.active_of_run if cancel else tasks.unsuccessful_of_run)(session, run_id)
                if not found:
                    reason = "it has ended" if cancel else "nothing of it failed or was cancelled"
                    return BulkOutcome(run=run_id, done=False, detail=f"run {run_id} stays as it is: {reason}")
                if not request.dry_run:
                    for task_id in found:
                        (tasks.request_cancel if cancel else tasks.retry)(session, task_id)
            case BulkAction.ARCHIVE | BulkAction.UNARCHIVE:
                if not request.dry_run:
                    runs.patch(session, run_id, {"archived": request.action == BulkAction.ARCHIVE})
            case BulkAction.DELETE:
                if tasks.active(session, run_id):
                    return BulkOutcome(run=run_id, done=False, detail=str(deletion.StillActive(run_id)))
                return BulkOutcome(run=run_id, done=True, bytes=store.size_tree(f"runs/{run_id}"))
    return BulkOutcome(run=run_id, done=True)


def _missing(run_id: int) -> BulkOutcome:
    return BulkOutcome(run=run_id, done=False, detail=f"run {run_id} does not exist; it may have been deleted")
