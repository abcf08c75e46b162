"""One action on many runs: each has its own outcome, and a refusal of one does not stop the others."""

from sqlalchemy.orm import Session

from densitylab.backend.services import deletion
from densitylab.backend.services.ownership import require_owner
from densitylab.backend.services.runs import not_found
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import BulkAction, BulkAnswer, BulkOutcome, BulkRequest
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import DomainError
from densitylab.backend.shared.store import owners, runs, tasks

_BATCH = 100  # runs that are archived in one transaction


def act(database: Database, store: ArtifactStore, request: BulkRequest, caller: Caller) -> BulkAnswer:
    """Do the action to the runs that the caller may change, or with `dry_run` return what it would do. The route
    delivers the tasks of a retry."""
    run_ids = list(dict.fromkeys(request.runs))
    outcomes: dict[int, BulkOutcome] = {}
    if request.action == BulkAction.DELETE and not request.dry_run:
        for run_id in run_ids:
            with database.read() as session:
                refused = _refusal(caller, session, run_id)
            outcomes[run_id] = refused or _delete(database, store, run_id)
    else:
        # A cancel locks tasks, then their run: with several runs it could wait for a worker that waits for it
        together = request.dry_run or request.action in (BulkAction.ARCHIVE, BulkAction.UNARCHIVE)
        ordered = sorted(run_ids)
        size = _BATCH if together else 1
        for start in range(0, len(ordered), size):
            with database.read() if request.dry_run else database.write() as session:
                for run_id in ordered[start : start + size]:
                    outcomes[run_id] = _refusal(caller, session, run_id) or _act(session, store, request, run_id)
    return BulkAnswer(
        action=request.action,
        dry_run=request.dry_run,
        done=sum(item.done for item in outcomes.values()),
        refused=sum(not item.done for item in outcomes.values()),
        bytes=sum(item.bytes for item in outcomes.values()),
        outcomes=[outcomes[run_id] for run_id in run_ids],
    )


def _refusal(caller: Caller, session: Session, run_id: int) -> BulkOutcome | None:
    """Return the outcome if the caller may not change the run."""
    if not caller.changes_all:
        try:
            require_owner(caller, owners.of_run(session, run_id), f"run {run_id}")
        except DomainError as refusal:
            return BulkOutcome(run=run_id, done=False, detail=refusal.detail)
    return None


def _delete(database: Database, store: ArtifactStore, run_id: int) -> BulkOutcome:
    try:
        return BulkOutcome(run=run_id, done=True, bytes=deletion.delete_run(database, store, run_id))
    except DomainError as refusal:
        return BulkOutcome(run=run_id, done=False, detail=refusal.detail)


def _act(session: Session, store: ArtifactStore, request: BulkRequest, run_id: int) -> BulkOutcome:
    """Do the action to one run, or return what it would do. A refusal comes before any change."""
    try:
        return _do(session, store, request, run_id)
    except DomainError as refusal:
        return BulkOutcome(run=run_id, done=False, detail=refusal.detail)


def _do(session: Session, store: ArtifactStore, request: BulkRequest, run_id: int) -> BulkOutcome:
    cancel = request.action == BulkAction.CANCEL
    if not (runs.exists if cancel else runs.lock)(session, run_id):
        raise not_found(run_id)
    match request.action:
        case BulkAction.CANCEL | BulkAction.RETRY:
            task_ids = (tasks.active_of_run if cancel else tasks.unsuccessful_of_run)(session, run_id)
            if not task_ids:
                reason = "it has ended" if cancel else "none of its tasks failed or was cancelled"
                return BulkOutcome(run=run_id, done=False, detail=f"run {run_id} is left as it is: {reason}")
            if cancel and not request.dry_run:
                tasks.request_cancel(session, *task_ids)
            elif not request.dry_run:
                for task_id in task_ids:
                    tasks.retry(session, task_id)
        case BulkAction.ARCHIVE | BulkAction.UNARCHIVE:
            if not request.dry_run:
                runs.patch(session, run_id, {"archived": request.action == BulkAction.ARCHIVE})
        case BulkAction.DELETE:
            deletion.require_inactive(session, run_id)
            return BulkOutcome(run=run_id, done=True, bytes=store.size_tree(f"runs/{run_id}"))
    return BulkOutcome(run=run_id, done=True)
