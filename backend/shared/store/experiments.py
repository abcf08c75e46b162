"""Experiments: groups of runs launched together."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Text, and_, cast, column, exists, func, or_, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.specs import Planned
from densitylab.backend.shared.store import runs, time_left, word_index
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import ExperimentRow, MetricRow, RunRow, TaskRow

_HAS_MODEL = exists().where(
    RunRow.experiment_id == ExperimentRow.id,
    RunRow.deleting.is_(False),
    RunRow.archived.is_(False),
    RunRow.checkpoint_step.is_not(None),
    TaskRow.run_id == RunRow.id,
    TaskRow.kind.in_(contracts.RUN_TASKS),
    TaskRow.status == Status.SUCCEEDED,
)


def create(
    session: Session,
    *,
    name: str,
    notes: str,
    tags: list[str],
    request: dict[str, Any],
    planned: Sequence[Planned],
    provenance: dict[str, Any],
    priority: contracts.Priority = contracts.Priority.NORMAL,
    owner: Caller = LOCAL,
    workers: int | None = None,
) -> ExperimentRow:
    """Insert the experiment with its runs, their train tasks and their evaluations, all queued. `workers`: that can
    train them now; None: not known."""
    row = ExperimentRow(
        name=name,
        notes=notes,
        tags=tags,
        archived=False,
        deleting=False,
        request=request,
        owner=owner.name,
        owner_token=owner.token,
        workers=workers,
        created_at=now(session),
    )
    session.add(row)
    session.flush()
    runs.create(session, row.id, planned, provenance, priority, owner)
    return row


def get(session: Session, experiment_id: int) -> contracts.Experiment | None:
    row = session.get(ExperimentRow, experiment_id)
    return None if row is None or row.deleting else _answers(session, [row])[0]


def many(session: Session, experiment_ids: Sequence[int]) -> dict[int, contracts.Experiment]:
    """Return the experiments that exist, by id."""
    chosen = ExperimentRow.id.in_(experiment_ids), ExperimentRow.deleting.is_(False)
    rows = session.scalars(select(ExperimentRow).where(*chosen)).all()
    return {item.id: item for item in _answers(session, rows)}


def listing(
    session: Session,
    *,
    before: int | None,
    limit: int,
    archived: bool | None = False,
    query: str | None = None,
    owners: Sequence[str] | None = None,
    has_model: bool | None = None,
) -> list[contracts.Experiment]:
    """Return experiments below the id `before`, newest first; of one of the owners, if there are any.

    `has_model`: whether a run that is not archived has succeeded and has a checkpoint; None: both.
    """
    statement = select(ExperimentRow).where(ExperimentRow.deleting.is_(False))
    if has_model is not None:
        statement = statement.where(_HAS_MODEL if has_model else ~_HAS_MODEL)
    if archived is not None:
        statement = statement.where(ExperimentRow.archived.is_(archived))
    if owners:
        statement = statement.where(ExperimentRow.owner.in_(owners))
    number: ColumnElement[int] = ExperimentRow.id.expression
    if query:
        dialect = session.get_bind().dialect.name
        statement = statement.where(_contains(query, dialect))
        if dialect == "sqlite" and word_index.serves(query, dialect):
            index = word_index.EXPERIMENTS
            has_trigrams = word_index.has_trigrams(index, (query, _in_tags(query)))
            statement, number = statement.join(index, index.c.rowid == number).where(has_trigrams), index.c.rowid
    if before is not None:
        statement = statement.where(number < before)
    # SQLite reads in the order of the ids that the index has, and ends at the limit
    rows = session.scalars(statement.order_by(number.desc()).limit(limit)).all()
    return _answers(session, rows)


def _contains(query: str, dialect: str) -> ColumnElement[bool]:
    def has(texts: Any, part: str) -> ColumnElement[bool]:
        stored: ColumnElement[str] = cast(texts, Text)
        if not word_index.serves(query, dialect):
            stored = word_index.unindexed(stored)
        return stored.icontains(part, autoescape=True)

    elements = func.json_each if dialect == "sqlite" else func.json_array_elements_text
    tag = elements(ExperimentRow.tags).table_valued(column("value", Text))
    # The JSON of the tags, which an index has, has brackets and escapes of its own
    of_tags = exists().select_from(tag).where(tag.c.value.icontains(query, autoescape=True))
    in_tags = and_(has(ExperimentRow.tags, _in_tags(query)), of_tags)
    return or_(has(ExperimentRow.name, query), has(ExperimentRow.notes, query), in_tags)


def _in_tags(query: str) -> str:
    """Return the text as it is stored in the JSON of the tags."""
    return json.dumps(query)[1:-1]


def patch(session: Session, experiment_id: int, changes: dict[str, Any]) -> bool:
    if not lock(session, experiment_id):
        return False
    row = session.get_one(ExperimentRow, experiment_id)
    for field, value in changes.items():
        setattr(row, field, value)
    return True


def lock(session: Session, experiment_id: int) -> bool:
    """Lock the experiment until the end of a write transaction; return whether it exists."""
    row = session.get(ExperimentRow, experiment_id, with_for_update=True, populate_existing=True)
    return row is not None and not row.deleting


def add_runs(
    session: Session,
    experiment_id: int,
    request: dict[str, Any],
    planned: Sequence[Planned],
    provenance: dict[str, Any],
    priority: contracts.Priority,
    owner: Caller,
) -> list[int]:
    """Insert more runs into a locked experiment, and store the request."""
    if planned:
        row = session.get_one(ExperimentRow, experiment_id)
        row.additions = [*row.additions, request]
    return runs.create(session, experiment_id, planned, provenance, priority, owner)


_SEARCH: TypeAdapter[contracts.Search] = TypeAdapter(contracts.Search)


@dataclass(frozen=True)
class StoredTrial:
    """A trial of a search with Optuna."""

    batch: int  # those launched together
    parameters: dict[str, Any]  # by dotted path of the spec
    runs: list[int]  # their numbers, one per seed
    reason: str  # why it was tried


@dataclass(frozen=True)
class StoredSearch:
    """The search of an experiment."""

    request: contracts.Search
    validation_result: str  # name of the result on validation images, of a search for λ
    provenance: dict[str, Any]  # of the runs that it launches
    priority: contracts.Priority
    status: contracts.SearchStatus
    reason: str
    owner: str | None
    owner_token: int | None
    spec: dict[str, Any]  # of a search with Optuna: that all trials share, as a launch has it
    trials: list[StoredTrial]  # in the order of their numbers


def begin_search(
    session: Session,
    experiment_id: int,
    request: contracts.Search,
    provenance: dict[str, Any],
    priority: contracts.Priority,
    *,
    validation_result: str = "",
    spec: dict[str, Any] | None = None,
) -> None:
    row = session.get_one(ExperimentRow, experiment_id)
    row.search = {
        "request": request.model_dump(mode="json"),
        "validation_result": validation_result,
        "spec": spec or {},
        "trials": [],
        "provenance": provenance,
        "priority": priority.value,
    }
    row.search_status = "running"


def search(session: Session, experiment_id: int) -> StoredSearch | None:
    row = session.get(ExperimentRow, experiment_id)
    if row is None or row.deleting or row.search is None or row.search_status is None:
        return None
    return StoredSearch(
        request=_SEARCH.validate_python(row.search["request"]),
        validation_result=row.search["validation_result"],
        provenance=row.search["provenance"],
        priority=contracts.Priority(row.search["priority"]),
        status=row.search_status,
        reason=row.search_reason or "",
        owner=row.owner,
        owner_token=row.owner_token,
        spec=row.search.get("spec", {}),
        trials=[StoredTrial(**trial) for trial in row.search.get("trials", [])],
    )


def add_trials(session: Session, experiment_id: int, trials: Sequence[StoredTrial]) -> None:
    """Record the next trials of a locked experiment's search, in the transaction that inserts their runs."""
    row = session.get_one(ExperimentRow, experiment_id)
    assert row.search is not None
    row.search = {**row.search, "trials": [*row.search["trials"], *map(asdict, trials)]}


def end_search(session: Session, experiment_id: int, status: contracts.SearchStatus, reason: str) -> None:
    row = session.get_one(ExperimentRow, experiment_id)
    row.search_status, row.search_reason = status, reason


def searching(session: Session) -> list[tuple[int, str]]:
    """Return each experiment whose search runs, with a text that changes when any of its tasks ends or begins anew."""
    found = select(ExperimentRow.id).where(ExperimentRow.search_status == "running", ExperimentRow.deleting.is_(False))
    states: dict[int, list[str]] = {experiment_id: [] for experiment_id in session.scalars(found)}
    counts = (
        select(RunRow.experiment_id, TaskRow.kind, TaskRow.status, func.count())
        .join(TaskRow, TaskRow.run_id == RunRow.id)
        .where(RunRow.experiment_id.in_(list(states)), PRESENT)
        .group_by(RunRow.experiment_id, TaskRow.kind, TaskRow.status)
        .order_by(RunRow.experiment_id, TaskRow.kind, TaskRow.status)
    )
    for experiment_id, *state in session.execute(counts):
        states[experiment_id].append(" ".join(map(str, state)))
    return [(experiment_id, ", ".join(parts)) for experiment_id, parts in states.items()]


def training_points(session: Session, experiment_id: int, name: str) -> str:
    """Return a text that changes when the curve of one of the experiment's running trainings grows; "" without one."""
    points = (
        select(RunRow.id, func.count())
        .select_from(RunRow)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == TaskKind.TRAIN))
        .join(MetricRow, (MetricRow.run_id == RunRow.id) & (MetricRow.name == name))
        .where(RunRow.experiment_id == experiment_id, TaskRow.status == Status.RUNNING)
        .group_by(RunRow.id)
        .order_by(RunRow.id)
    )
    return ", ".join(f"{run_id} {number}" for run_id, number in session.execute(points))


def run_ids(session: Session, experiment_id: int) -> list[int]:
    return list(
        session.scalars(select(RunRow.id).where(RunRow.experiment_id == experiment_id, PRESENT).order_by(RunRow.id))
    )


def mark_deleting(session: Session, experiment_id: int) -> None:
    row = session.get(ExperimentRow, experiment_id)
    if row is not None:
        row.deleting = True


def deleting(session: Session) -> list[int]:
    """Return the experiments whose deletion has begun."""
    return list(session.scalars(select(ExperimentRow.id).where(ExperimentRow.deleting.is_(True))))


def remove(session: Session, experiment_id: int) -> None:
    row = session.get(ExperimentRow, experiment_id)
    if row is not None:
        session.delete(row)


def _answers(session: Session, rows: Sequence[ExperimentRow]) -> list[contracts.Experiment]:
    chosen = RunRow.experiment_id.in_([row.id for row in rows]), PRESENT
    # Summed by the database: a page of experiments may have ten thousand runs
    groups: dict[int, dict[str, Any]] = {}
    for group in session.execute(
        select(
            RunRow.experiment_id,
            TaskRow.status,
            func.count().label("number"),
            func.sum(TaskRow.progress).label("progress"),
            func.aggregate_strings(cast(RunRow.id, Text), ",").label("ids"),  # read as JSON far faster than as rows
        )
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind.in_(contracts.RUN_TASKS)))
        .where(*chosen)
        .group_by(RunRow.experiment_id, TaskRow.status)
    ):
        groups.setdefault(group.experiment_id, {})[group.status] = group
    evaluated: dict[int, dict[Status, int]] = {}
    for experiment_id, status, number in session.execute(
        select(RunRow.experiment_id, TaskRow.status, func.count())
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == contracts.TaskKind.EVALUATE))
        .where(*chosen)
        .group_by(RunRow.experiment_id, TaskRow.status)
    ):
        evaluated.setdefault(experiment_id, {})[Status(status)] = number
    unfinished = [
        row.id
        for row in rows
        if not all(Status(status).final for status in (*groups.get(row.id, {}), *evaluated.get(row.id, {})))
    ]
    left = time_left.of_experiments(session, unfinished, now(session)) if unfinished else {}
    answers = []
    for row in rows:
        by_status = groups.get(row.id, {})
        evaluation_counts = evaluated.get(row.id, {})
        time = left.get(row.id, time_left.TimeLeft())
        expected = [item for status, item in by_status.items() if not Status(status).unsuccessful]
        number = sum(item.number for item in expected)
        belonging = sorted(json.loads(f"[{','.join(item.ids for item in by_status.values())}]"))
        answers.append(
            contracts.Experiment(
                id=row.id,
                name=row.name,
                notes=row.notes,
                tags=row.tags,
                archived=row.archived,
                runs=belonging,
                counts={status: by_status[status].number for status in Status if status in by_status},
                evaluation_counts=evaluation_counts,
                search=_search_summary(row),
                finished=row.search_status != "running" and row.id not in left,
                progress=sum(item.progress for item in expected) / number if number else 0.0,
                eta_seconds=time.seconds,
                untimed_evaluations=time.untimed_evaluations,
                workers=list(time.workers),
                eta_workers=time.worker_count,
                request=row.request,
                additions=row.additions,
                owner=row.owner,
                created_at=to_datetime(row.created_at),
            )
        )
    return answers


def _search_summary(row: ExperimentRow) -> contracts.SearchSummary | None:
    if row.search is None:
        return None
    return contracts.SearchSummary(
        kind=row.search["request"]["kind"], status=row.search_status, reason=row.search_reason or ""
    )


def total(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ExperimentRow)) or 0
