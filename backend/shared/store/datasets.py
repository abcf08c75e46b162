"""Prepared data sets."""

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.database import now
from densitylab.backend.shared.specs import dataset_hash
from densitylab.backend.shared.store import tasks
from densitylab.backend.shared.tables import AttributionRow, DatasetRow, EvaluationRow, RunRow, TaskRow


def prepared_folder(data_dir: Path, key: str, params: dict[str, Any]) -> Path:
    """Return the folder of the prepared variant; files that users have placed in `data_dir` are elsewhere."""
    return prepared_root(data_dir, key) / dataset_hash(params)


def prepared_root(data_dir: Path, key: str) -> Path:
    """Return the folder of all prepared variants of a data set."""
    return data_dir / "prepared" / key


def shared_copy(key: str, params: dict[str, Any]) -> str:
    """Return the location of the prepared variant in a store that several hosts share."""
    return f"datasets/{key}/{dataset_hash(params)}/form"


def downloads_folder(data_dir: Path, key: str) -> Path:
    """Return the folder of the downloads of a data set."""
    return data_dir / "downloads" / key


def get(session: Session, key: str, params: dict[str, Any]) -> DatasetRow | None:
    return session.get(DatasetRow, (key, dataset_hash(params)))


def variants(session: Session, key: str) -> list[DatasetRow]:
    """Return the data set's rows, one for each set of parameters that was ever requested."""
    return list(session.scalars(select(DatasetRow).where(DatasetRow.key == key).order_by(DatasetRow.params_hash)))


def users(session: Session, key: str) -> list[str]:
    """Return the queued or running work that needs the data set, in words."""
    active = TaskRow.status.in_(tasks.ACTIVE)
    users = [
        f"run {run}"
        for run in session.scalars(
            select(RunRow.id)
            .join(TaskRow, TaskRow.run_id == RunRow.id)
            .where(active, RunRow.dataset == key)
            .distinct()
            .order_by(RunRow.id)
        )
    ]
    evaluations = session.execute(
        select(EvaluationRow.run_id, EvaluationRow.params)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(active)
    )
    users += [f"an evaluation of run {row.run_id}" for row in evaluations if _names(row.params, key)]
    requests = select(AttributionRow.request).join(TaskRow, AttributionRow.task_id == TaskRow.id).where(active)
    for request in session.scalars(requests):
        if session.scalar(select(RunRow.id).where(RunRow.id.in_(request["runs"]), RunRow.dataset == key).limit(1)):
            users.append("maps that are being computed")
    tasks_of = select(DatasetRow.task_id).where(DatasetRow.key == key)
    if session.scalar(select(TaskRow.id).where(active, TaskRow.id.in_(tasks_of)).limit(1)):
        users.append("its preparation")
    return users


def _names(value: Any, key: str) -> bool:
    """Return whether nested parameters name a component of this key, such as an OOD data set."""
    if isinstance(value, dict):
        return value.get("key") == key or any(_names(inner, key) for inner in value.values())
    return isinstance(value, list) and any(_names(inner, key) for inner in value)


def mark_removing(session: Session, key: str) -> None:
    """Mark the data set, so that no launch uses it."""
    for row in variants(session, key):
        row.ready, row.removing = False, True


def removing(session: Session) -> list[str]:
    """Return the keys whose removal has begun."""
    return list(session.scalars(select(DatasetRow.key).where(DatasetRow.removing).distinct()))


def clear(session: Session, key: str) -> None:
    """Mark the data set as absent. The rows stay, so that the reconciler does not prepare it again."""
    for row in variants(session, key):
        row.ready, row.removing, row.bytes, row.data_hash, row.samples_location = False, False, None, None, None
        row.sizes, row.class_counts, row.group_counts, row.task_id, row.prepared_at = {}, {}, {}, None, None


def set_task(session: Session, key: str, params: dict[str, Any], task_id: int) -> None:
    """Record the task that prepares the data set."""
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(
            key=key,
            params_hash=dataset_hash(params),
            params=params,
            ready=False,
            sizes={},
            class_counts={},
            group_counts={},
            removing=False,
        )
        session.add(row)
    row.task_id = task_id


def set_ready(
    session: Session,
    key: str,
    params: dict[str, Any],
    *,
    size: int,
    data_hash: str,
    sizes: dict[str, int],
    class_counts: dict[str, list[int]],
    samples_location: str,
    group_counts: dict[str, list[int]] | None = None,
) -> None:
    """Record that the data set is prepared.

    `samples_location` is of an NPZ with `{split}_images`, `_labels`, `_masks`, `_groups`.
    """
    at = now(session)
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(key=key, params_hash=dataset_hash(params), params=params)
        session.add(row)
    row.ready, row.bytes, row.data_hash, row.sizes, row.class_counts = True, size, data_hash, sizes, class_counts
    row.group_counts, row.removing = group_counts or {}, False
    row.samples_location, row.prepared_at = samples_location, at
