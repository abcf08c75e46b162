"""Events for what several tasks complete together: a run that is measured, an experiment that is finished."""

from sqlalchemy import Select, and_, bindparam, insert, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RUN_TASKS, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.events import EXPERIMENT, FINISHED, MEASURED
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import EventRow, ExperimentRow, RunRow, TaskRow

_ACTIVE = (Status.QUEUED, Status.RUNNING)
_LOCKED_RUN = (
    select(RunRow.id, RunRow.experiment_id)
    .join(TaskRow, TaskRow.run_id == RunRow.id)
    .where(TaskRow.id == bindparam("task"), TaskRow.kind != TaskKind.EXPORT)
    .with_for_update(key_share=True, of=RunRow)
)
# An export changes nothing of what a run is or has been measured to be
_ACTIVE_TASK = and_(TaskRow.status.in_(_ACTIVE), TaskRow.kind != TaskKind.EXPORT)
_ACTIVE_OF_RUN = select(TaskRow.id).where(TaskRow.run_id == bindparam("run"), _ACTIVE_TASK).limit(1)


def note_completion(session: Session, task_id: int) -> None:
    """Insert an event if the end of this task completes its run, and another if that completes the experiment.

    The locks let two tasks that end in the same moment see each other: only the second one finds nothing left. They
    are taken in the order task, run, experiment: change every task before this.
    """
    run = session.execute(_LOCKED_RUN, {"task": task_id}).first()
    run_id, experiment_id = run or (0, 0)
    if session.scalar(_ACTIVE_OF_RUN, {"run": run_id}) is not None or run is None:
        return
    trained = select(TaskRow.id).where(
        TaskRow.run_id == run_id, TaskRow.kind.in_(RUN_TASKS), TaskRow.status == Status.SUCCEEDED
    )
    if _some(session, trained):
        _insert(session, run_id, task_id, TaskKind.TRAIN, MEASURED)
    experiment = session.get(ExperimentRow, experiment_id, with_for_update={"key_share": True}, populate_existing=True)
    if experiment is None or experiment.search_status == "running":  # more runs may come
        return
    if not _some(session, _active_of_experiment(experiment_id)):
        _insert(session, run_id, task_id, EXPERIMENT, FINISHED)


def note_search_end(session: Session, experiment_id: int) -> None:
    """Insert the event of a finished experiment at the end of its search, if no run or evaluation is left. The
    experiment is locked."""
    last = session.execute(
        select(TaskRow.run_id, TaskRow.id)
        .join(RunRow, TaskRow.run_id == RunRow.id)
        .where(RunRow.experiment_id == experiment_id, PRESENT)
        .order_by(TaskRow.finished_at.desc(), TaskRow.id.desc())
        .limit(1)
    ).first()
    if last is not None and not _some(session, _active_of_experiment(experiment_id)):
        _insert(session, last.run_id, last.id, EXPERIMENT, FINISHED)


def _active_of_experiment(experiment_id: int) -> Select:
    return (
        select(TaskRow.id)
        .join(RunRow, TaskRow.run_id == RunRow.id)
        .where(RunRow.experiment_id == experiment_id, PRESENT, _ACTIVE_TASK)
    )


def _some(session: Session, statement: Select) -> bool:
    return session.scalar(statement.limit(1)) is not None


def _insert(session: Session, run_id: int, task_id: int, kind: str, status: str) -> None:
    session.execute(
        insert(EventRow).values(run_id=run_id, task_id=task_id, kind=kind, status=status, error=None, at=now(session))
    )
