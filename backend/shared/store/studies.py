"""Studies that were launched, each with its definition and the numbers of its experiments."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import StudyDefinition
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import StudyRow


@dataclass(frozen=True)
class StoredLaunch:
    """A launch of a study: its experiment, and what was left out of it."""

    key: str
    experiment: int | None = None
    left_out: str = ""
    prepare: str | None = None  # path to POST to, where a data set is missing
    evaluated: bool = False  # its `of_selected` are requested, or cannot be


@dataclass(frozen=True)
class StoredStudy:
    """A study that was launched."""

    id: int
    definition: StudyDefinition
    datasets: dict[str, str]
    launches: list[StoredLaunch]
    owner: str | None
    owner_token: int | None
    created_at: datetime


_definitions = TypeAdapter(StudyDefinition)


def create(
    session: Session,
    definition: StudyDefinition,
    datasets: dict[str, str],
    launches: Sequence[StoredLaunch],
    owner: Caller,
) -> int:
    """Insert a study; return its id."""
    row = StudyRow(
        key=definition.key,
        size=definition.size.key,
        datasets=datasets,
        definition=_definitions.dump_python(definition, mode="json"),
        launches=[asdict(item) for item in launches],
        created_at=now(session),
        owner=owner.name,
        owner_token=owner.token,
    )
    session.add(row)
    session.flush()
    return row.id


def get(session: Session, study_id: int) -> StoredStudy | None:
    row = session.get(StudyRow, study_id)
    return None if row is None else _stored(row)


def lock(session: Session, study_id: int) -> StoredStudy | None:
    """Return the study, locked until the end of a write transaction; None: there is none."""
    row = session.get(StudyRow, study_id, with_for_update=True, populate_existing=True)
    return None if row is None else _stored(row)


def listing(
    session: Session, *, before: int | None, limit: int, key: str | None = None, size: str | None = None
) -> list[StoredStudy]:
    """Return studies below the id `before`, newest first."""
    statement = select(StudyRow)
    if before is not None:
        statement = statement.where(StudyRow.id < before)
    if key is not None:
        statement = statement.where(StudyRow.key == key)
    if size is not None:
        statement = statement.where(StudyRow.size == size)
    return [_stored(row) for row in session.scalars(statement.order_by(StudyRow.id.desc()).limit(limit))]


def states(session: Session) -> dict[int, str]:
    """Return of each study its launches as text, which changes when they do."""
    return {
        row.id: row.text for row in session.execute(select(StudyRow.id, cast(StudyRow.launches, Text).label("text")))
    }


def set_launches(session: Session, study_id: int, launches: Sequence[StoredLaunch]) -> None:
    session.get_one(StudyRow, study_id).launches = [asdict(item) for item in launches]


def remove(session: Session, study_id: int) -> None:
    """Remove a study; its experiments stay."""
    session.delete(session.get_one(StudyRow, study_id))


def _stored(row: StudyRow) -> StoredStudy:
    return StoredStudy(
        id=row.id,
        definition=_definitions.validate_python(row.definition),
        datasets={key: str(value) for key, value in row.datasets.items()},
        launches=[StoredLaunch(**item) for item in row.launches],
        owner=row.owner,
        owner_token=row.owner_token,
        created_at=to_datetime(row.created_at),
    )
