"""Users' own images, registered as data sets."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared.catalog import Entry
from backend.shared.contracts import TaskKind
from backend.shared.database import now
from backend.shared.store import tasks
from backend.shared.tables import DatasetRow, RegisteredRow, TaskRow

# The fields of an entry that are found in the images
FACTS = ("num_classes", "class_names", "group_names", "channels", "image_size", "mean", "std", "train_size", "has_mask",
         "has_groups")


def entries(session: Session) -> tuple[Entry, ...]:
    """All of them as entries of the catalog, in the order of their registration; without those being removed."""
    going = select(DatasetRow.key).where(DatasetRow.removing)
    rows = session.scalars(
        select(RegisteredRow).where(RegisteredRow.key.not_in(going)).order_by(RegisteredRow.created_at)
    )
    return tuple(_entry(row) for row in rows)


def _entry(row: RegisteredRow) -> Entry:
    facts: dict[str, Any] = {
        name: tuple(fact) if isinstance(fact, list) else fact for name, fact in row.facts.items()
    }
    return Entry(row.key, row.label, row.summary, "worker.datasets.image_folder:load", registered=True, **facts)


def exists(session: Session, key: str) -> bool:
    return session.get(RegisteredRow, key) is not None


def add(session: Session, key: str, *, label: str, summary: str, facts: Mapping[str, Any]) -> None:
    """Enters it, with a value for each of FACTS."""
    session.add(RegisteredRow(
        key=key, label=label, summary=summary, facts={name: facts[name] for name in FACTS}, created_at=now(session)
    ))


def remove(session: Session, key: str) -> None:
    row = session.get(RegisteredRow, key)
    if row is not None:
        session.delete(row)


def under_way(session: Session, key: str) -> int | None:
    """The task that registers images under this key just now."""
    rows = session.execute(select(TaskRow.id, TaskRow.payload).where(
        TaskRow.kind == TaskKind.REGISTER, TaskRow.status.in_(tasks.ACTIVE)
    ))
    return next((row.id for row in rows if row.payload["key"] == key), None)
