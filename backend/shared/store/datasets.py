"""Prepared data sets."""

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backend.shared.database import now
from backend.shared.specs import content_hash
from backend.shared.tables import DatasetRow


def prepared_folder(data_dir: Path, key: str, params: dict[str, Any]) -> Path:
    """Where the prepared form of these parameters lies; what users have placed in `data_dir` lies elsewhere."""
    return data_dir / "prepared" / key / content_hash(params)


def downloads_folder(data_dir: Path, key: str) -> Path:
    """Where the files that were downloaded for a data set stay."""
    return data_dir / "downloads" / key


def get(session: Session, key: str, params: dict[str, Any]) -> DatasetRow | None:
    return session.get(DatasetRow, (key, content_hash(params)))


def set_task(session: Session, key: str, params: dict[str, Any], task_id: int) -> None:
    """Notes the task that prepares it."""
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(key=key, params_hash=content_hash(params), params=params, ready=False, sizes={},
                         class_counts={})
        session.add(row)
    row.task_id = task_id


def set_ready(
    session: Session, key: str, params: dict[str, Any], *, size: int, data_hash: str, sizes: dict[str, int],
    class_counts: dict[str, list[int]], samples_location: str,
) -> None:
    """Notes that it is prepared. `samples_location`: an NPZ with `{split}_images`, `_labels`, `_masks`, `_groups`."""
    at = now(session)
    row = get(session, key, params)
    if row is None:
        row = DatasetRow(key=key, params_hash=content_hash(params), params=params)
        session.add(row)
    row.ready, row.bytes, row.data_hash, row.sizes, row.class_counts = True, size, data_hash, sizes, class_counts
    row.samples_location, row.prepared_at = samples_location, at
