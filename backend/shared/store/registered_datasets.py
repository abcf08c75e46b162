"""Data sets registered from users' own images."""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.catalog import Attribute, Catalog, DatasetEntry
from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import registration_previews, tasks
from densitylab.backend.shared.tables import DatasetRow, RegisteredRow, TaskRow

_log = logging.getLogger(__name__)


class _Attribute(BaseModel):
    name: str
    values: tuple[str, ...]


class Facts(BaseModel):
    """Fields of an entry that are derived from the images."""

    num_classes: int
    class_names: tuple[str, ...]
    group_names: tuple[str, ...] = ()
    attributes: tuple[_Attribute, ...] = ()
    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_size: int
    has_mask: bool = False
    has_groups: bool = False


def with_registered(session: Session, catalog: Catalog) -> Catalog:
    """Return the catalog with the registered data sets."""
    return catalog.with_entries(entries(session))


def entries(session: Session) -> tuple[DatasetEntry, ...]:
    """Return catalog entries in the order of registration, without data sets that are being removed."""
    removing = select(DatasetRow.key).where(DatasetRow.removing)
    rows = session.scalars(
        select(RegisteredRow).where(RegisteredRow.key.not_in(removing)).order_by(RegisteredRow.created_at)
    )
    return tuple(_entry(row) for row in rows)


def _entry(row: RegisteredRow) -> DatasetEntry:
    target = "densitylab.worker.datasets.image_folder:register"
    try:
        facts = dict(Facts.model_validate(row.facts))
        facts["attributes"] = tuple(Attribute(item.name, item.values) for item in facts["attributes"])
    except ValidationError as error:
        _log.warning("the facts of the data set %s can't be read: %s", row.key, error)
        advice = "Its stored facts can't be read: remove it, then register the images again."
        return DatasetEntry(row.key, row.label, advice, target, registered=True)
    return DatasetEntry(row.key, row.label, row.summary, target, registered=True, **facts)


def exists(session: Session, key: str) -> bool:
    return session.get(RegisteredRow, key) is not None


def add(
    session: Session, key: str, *, label: str, summary: str, facts: Mapping[str, Any], task_id: int | None = None
) -> None:
    """Insert a data set with its `Facts`; its owner is that of the task that registers it."""
    stored = Facts.model_validate(facts).model_dump(mode="json")
    row = RegisteredRow(key=key, label=label, summary=summary, facts=stored, created_at=now(session))
    if task_id is not None:
        task = session.get_one(TaskRow, task_id)
        row.owner, row.owner_token = task.owner, task.owner_token
    session.add(row)


def owner(session: Session, key: str) -> str | None:
    """Return the name of who registered the data set."""
    return session.scalar(select(RegisteredRow.owner).where(RegisteredRow.key == key))


def remove(session: Session, key: str) -> None:
    row = session.get(RegisteredRow, key)
    if row is not None:
        session.delete(row)


def under_way(session: Session, key: str) -> int | None:
    """Return the task that is registering images under this key."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.payload).where(TaskRow.kind == TaskKind.REGISTER, TaskRow.status.in_(tasks.ACTIVE))
    )
    return next((row.id for row in rows if row.payload["key"] == key), None)


def uploads(session: Session, *, active: bool) -> set[str]:
    """Return the locations of the archives that queued or running registrations or a preview need, or else those of
    ended registrations and previews that nothing needs."""
    needed = _uploads(session, TaskRow.status.in_(tasks.ACTIVE)) | registration_previews.uploads(session)
    return needed if active else _uploads(session, TaskRow.status.not_in(tasks.ACTIVE)) - needed


def _uploads(session: Session, condition: ColumnElement[bool]) -> set[str]:
    kinds = (TaskKind.REGISTER, TaskKind.PREVIEW)
    payloads = session.scalars(select(TaskRow.payload).where(TaskRow.kind.in_(kinds), condition))
    return {payload["upload"] for payload in payloads if payload.get("upload")}
