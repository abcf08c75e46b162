"""Prepared data sets."""

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared.database import now
from backend.shared.specs import content_hash
from backend.shared.store import tasks
from backend.shared.tables import AttributionRow, DatasetRow, EvaluationRow, RunRow, TaskRow


def prepared_folder(data_dir: Path, key: str, params: dict[str, Any]) -> Path:
    """Where the prepared form of these parameters lies; what users have placed in `data_dir` lies elsewhere."""
    return prepared_root(data_dir, key) / content_hash(params)


def prepared_root(data_dir: Path, key: str) -> Path:
    """Where all prepared forms of a data set lie."""
    return data_dir / "prepared" / key


def downloads_folder(data_dir: Path, key: str) -> Path:
    """Where the files that were downloaded for a data set stay."""
    return data_dir / "downloads" / key


def get(session: Session, key: str, params: dict[str, Any]) -> DatasetRow | None:
    return session.get(DatasetRow, (key, content_hash(params)))


def forms(session: Session, key: str) -> list[DatasetRow]:
    """The data set's rows, one for each set of parameters that was ever asked for."""
    return list(session.scalars(select(DatasetRow).where(DatasetRow.key == key).order_by(DatasetRow.params_hash)))


def users(session: Session, key: str) -> list[str]:
    """What needs the data set just now, in words: queued or running work."""
    active = TaskRow.status.in_(tasks.ACTIVE)
    found = [
        f"run {run}" for run in session.scalars(
            select(RunRow.id).join(TaskRow, TaskRow.run_id == RunRow.id).where(active, RunRow.dataset == key)
            .distinct().order_by(RunRow.id)
        )
    ]
    measured = session.execute(
        select(EvaluationRow.run_id, EvaluationRow.params)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id).where(active)
    )
    found += [f"an evaluation of run {row.run_id}" for row in measured if _names(row.params, key)]
    drawn = select(AttributionRow.request).join(TaskRow, AttributionRow.task_id == TaskRow.id).where(active)
    for request in session.scalars(drawn):
        if session.scalar(select(RunRow.id).where(RunRow.id.in_(request["runs"]), RunRow.dataset == key).limit(1)):
            found.append("maps that are being drawn")
    tasks_of = select(DatasetRow.task_id).where(DatasetRow.key == key)
    if session.scalar(select(TaskRow.id).where(active, TaskRow.id.in_(tasks_of)).limit(1)):
        found.append("its preparation")
    return found


def _names(value: Any, key: str) -> bool:
    """Whether a component of this key is among nested parameters, as a data set to compare with is."""
    if isinstance(value, dict):
        return value.get("key") == key or any(_names(inner, key) for inner in value.values())
    return isinstance(value, list) and any(_names(inner, key) for inner in value)


def mark_removing(session: Session, key: str) -> None:
    """From here on no launch takes it."""
    for row in forms(session, key):
        row.ready, row.removing = False, True


def removing(session: Session) -> list[str]:
    """The keys whose removal has begun."""
    return list(session.scalars(select(DatasetRow.key).where(DatasetRow.removing).distinct()))


def clear(session: Session, key: str) -> None:
    """Its files are gone. The rows stay, so that nobody prepares it again unasked."""
    for row in forms(session, key):
        row.ready, row.removing, row.bytes, row.data_hash, row.samples_location = False, False, None, None, None
        row.sizes, row.class_counts, row.group_counts, row.task_id, row.prepared_at = {}, {}, {}, None, None


def set_task(session: Session, key: str, params: dict[str, Any], task_id: int) -> None:
    """Notes the task that prepares it."""
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(key=key, params_hash=content_hash(params), params=params, ready=False, sizes={},
                         class_counts={}, group_counts={}, removing=False)
        session.add(row)
    row.task_id = task_id


def set_ready(
    session: Session, key: str, params: dict[str, Any], *, size: int, data_hash: str, sizes: dict[str, int],
    class_counts: dict[str, list[int]], samples_location: str, group_counts: dict[str, list[int]] | None = None,
) -> None:
    """Notes that it is prepared. `samples_location`: an NPZ with `{split}_images`, `_labels`, `_masks`, `_groups`."""
    at = now(session)
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(key=key, params_hash=content_hash(params), params=params)
        session.add(row)
    row.ready, row.bytes, row.data_hash, row.sizes, row.class_counts = True, size, data_hash, sizes, class_counts
    row.group_counts, row.removing = group_counts or {}, False
    row.samples_location, row.prepared_at = samples_location, at
