"""Runs: look one up, cancel it, retry it."""

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import ExportFormat, ProblemType, Run
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import Conflict, NotFound
from densitylab.backend.shared.store import run_artifacts, runs, tasks


def get(session: Session, run_id: int) -> Run:
    """Return the run. Raises NotFound."""
    run = runs.get(session, run_id)
    if run is None:
        raise not_found(run_id)
    return run


def cancel(database: Database, run_id: int) -> Run:
    """End the run's queued tasks, ask its running ones to stop, and return the run.

    Raises:
        NotFound: there is no such run.
        Conflict: it has ended, with its evaluations.
    """
    with database.write() as session:
        if not runs.exists(session, run_id):
            raise not_found(run_id)
        active = tasks.active_of_run(session, run_id)
        if not active:
            raise Conflict(f"run {run_id} has ended: there is nothing to cancel")
        tasks.request_cancel(session, *active)
        session.expire_all()
        return get(session, run_id)


def retry(database: Database, run_id: int) -> None:
    """Queue the run's failed and cancelled tasks again; the caller delivers them.

    Raises:
        NotFound: there is no such run.
        Conflict: none of its tasks failed or was cancelled.
    """
    with database.write() as session:
        if not runs.lock(session, run_id):
            raise not_found(run_id)
        ended = tasks.unsuccessful_of_run(session, run_id)
        if not ended:
            raise Conflict(f"run {run_id} has nothing to retry: none of its tasks failed or was cancelled")
        for task_id in ended:
            tasks.retry(session, task_id)


class DamagedArtifact(Conflict):
    """A file of a run that is damaged on the server's disk."""

    type = ProblemType.DAMAGED_FILE


def damaged(run_id: int, name: str) -> DamagedArtifact:
    """Return the error for a file of a run that is damaged on the server's disk."""
    if name in (run_artifacts.CHECKPOINT, run_artifacts.CHECKPOINT_BEFORE):
        advice = "launch the run again"
    elif name in (exported.file_name for exported in ExportFormat):
        advice = "export it again"
    else:
        advice = "run that evaluation again"
    return DamagedArtifact(f"the stored file {name} of run {run_id} is damaged: {advice}")


def not_found(run_id: int) -> NotFound:
    """Return the error for a run that a path names and that does not exist."""
    return NotFound("run", run_id, "/path/run_id")
