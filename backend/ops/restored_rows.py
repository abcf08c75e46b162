"""The rows of a backup after they were inserted: whether they fit together, and what changes with the system."""

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.orm import Session

from densitylab.backend.ops.backup_archive import BadBackup
from densitylab.backend.shared.contracts import RUN_TASKS, Status, TaskKind
from densitylab.backend.shared.store import attributions, run_artifacts, webhooks
from densitylab.backend.shared.tables import (
    ArtifactRow,
    AttributionRow,
    Base,
    DatasetRow,
    EvaluationRow,
    RegisteredRow,
    RunRow,
    TaskRow,
    WebhookRow,
)


def check(session: Session) -> None:
    """Raise BadBackup if the API could not answer with the rows."""
    trainings = (
        select(RunRow.id)
        .outerjoin(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind.in_(RUN_TASKS)))
        .group_by(RunRow.id)
        .having(func.count(TaskRow.id) != 1)
    )
    _refuse(session.scalar(trainings.limit(1)), "its run {} does not have one task that makes it")
    foreign = (
        select(EvaluationRow.id)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(or_(TaskRow.kind != TaskKind.EVALUATE, TaskRow.run_id != EvaluationRow.run_id))
    )
    _refuse(session.scalar(foreign.limit(1)), "its evaluation {} has the task of something else")
    unprepared = select(RegisteredRow.key).where(
        RegisteredRow.key.not_in(select(DatasetRow.key).where(or_(DatasetRow.ready, DatasetRow.removing)))
    )
    _refuse(session.scalar(unprepared.limit(1)), "its registered data set {} has no images")
    maps = select(AttributionRow.id, TaskRow.kind).join(TaskRow, AttributionRow.task_id == TaskRow.id)
    for number, kind in session.execute(maps).all():
        try:
            read = {TaskKind.ATTRIBUTE: attributions.get, TaskKind.DENSITY: attributions.density}[TaskKind(kind)]
            read(session, number)
        except (LookupError, TypeError, ValueError) as error:
            raise BadBackup(f"its maps {number} cannot be read") from error


def _refuse(first: int | str | None, message: str) -> None:
    if first is not None:
        raise BadBackup(message.format(first))


def queue_again(session: Session) -> None:
    """Queue the tasks for the broker and the workers of this system, which know nothing of them."""
    # A run that is trained elsewhere goes on to be logged
    running = and_(TaskRow.status == Status.RUNNING, TaskRow.kind != TaskKind.LOG)
    queued = TaskRow.status == Status.QUEUED
    tasks = TaskRow.__table__.update()  # type: ignore[attr-defined]
    session.execute(
        tasks.where(running).values(
            status=Status.QUEUED, stage="queued", lease_until=None, worker=None, token=TaskRow.token + 1
        )
    )
    session.execute(tasks.where(queued).values(delivered=False))
    kept = select(ArtifactRow.run_id).where(ArtifactRow.name == run_artifacts.CHECKPOINT)
    session.execute(
        RunRow.__table__.update().where(RunRow.id.not_in(kept)).values(checkpoint_step=None)  # type: ignore[attr-defined]
    )


def give_secrets(session: Session) -> list[WebhookRow]:
    """Give each webhook a new secret and return them all: no backup has the old ones."""
    rows = list(session.scalars(select(WebhookRow).order_by(WebhookRow.id)))
    for row in rows:
        row.secret = webhooks.new_secret()
    return rows


def set_sequences(session: Session) -> None:
    """Let PostgreSQL continue after the highest ids. SQLite does so by itself."""
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if "id" in table.c:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name} "
                    "HAVING max(id) IS NOT NULL"
                )
            )
