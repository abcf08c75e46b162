"""Who owns what a request may change. An owner never changes, and ids are never used again."""

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from densitylab.backend.shared.tables import ExperimentRow, Owned, RegisteredRow, RunRow, StudyRow, TaskRow, WebhookRow

# Owners by the number of their token; None is the administrator, or not known
Owners = set[int | None]


def of_run(session: Session, run_id: int) -> Owners:
    """Return the owner of a run; no one if it does not exist."""
    return _of(session, RunRow, run_id)


def of_experiment(session: Session, experiment_id: int) -> Owners:
    """Return the owner of an experiment."""
    return _of(session, ExperimentRow, experiment_id)


def of_experiment_with_runs(session: Session, experiment_id: int) -> Owners:
    """Return the owners of an experiment and of all its runs."""
    statement = union(
        select(ExperimentRow.owner_token).where(ExperimentRow.id == experiment_id),
        select(RunRow.owner_token).where(RunRow.experiment_id == experiment_id),
    )
    return set(session.scalars(statement))


def of_study(session: Session, study_id: int) -> Owners:
    """Return the owner of a study."""
    return _of(session, StudyRow, study_id)


def of_task(session: Session, task_id: int) -> Owners:
    """Return the owner of the task's run, or of the task if it belongs to none."""
    row = session.get(TaskRow, task_id)
    if row is None:
        return set()
    return {row.owner_token} if row.run_id is None else of_run(session, row.run_id)


def of_webhook(session: Session, webhook_id: int) -> Owners:
    """Return the owner of a webhook."""
    return _of(session, WebhookRow, webhook_id)


def of_dataset(session: Session, key: str) -> Owners:
    """Return the owner of a registered data set; those of the catalog are the administrator's."""
    row = session.get(RegisteredRow, key)
    return {None if row is None else row.owner_token}


def _of(session: Session, table: type[Owned], row_id: int) -> Owners:
    row = session.get(table, row_id)
    return set() if row is None else {row.owner_token}
