"""Listings of runs, as JSON: a hundred answers of a kilobyte each are not worth a thousand models."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, func, literal, null, or_, select
from sqlalchemy.orm import Session

from backend.shared.contracts import SPEC_VERSION, Status, TaskKind
from backend.shared.store import outbox, runs, tasks
from backend.shared.store.among import among, list_of_ids
from backend.shared.store.times import moment
from backend.shared.tables import EvaluationRow, LatestRow, ResultRow, RunRow, TaskRow


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which runs to list; None does not filter."""

    experiment: int | None = None
    status: Status | None = None
    dataset: str | None = None
    model: str | None = None
    regularizer: str | None = None
    tag: str | None = None
    query: str | None = None  # in notes, tags, keys and the experiment's id
    archived: bool | None = False


@dataclass(frozen=True)
class Listed:
    """A run's place in a listing: what a cursor is made of."""

    id: int
    key: Any


def places(
    session: Session, which: Filter, *, sort: str, descending: bool, after: tuple[Any, int] | None = None,
    limit: int | None = None,
) -> list[Listed]:
    """The runs that match, in order.

    Args:
        sort: "id", "created_at", "status", "progress", "lambda_", "results.<name>" or "metrics.<name>".
        after: (sort key, id) of the last one seen. Runs without a value come last.
    """
    column, _, name = sort.partition(".")
    if name:
        return _by_number(session, which, _NUMBERS[column], name, descending, after, limit)
    key = _sort_key(sort)
    # Of a status the index of the tasks has the runs in this order already
    number = TaskRow.run_id if sort == "id" and which.status is not None else RunRow.id
    statement = _matching(which, key, with_task=sort in ("status", "progress"))
    if after is not None:
        value, run_id = after
        beyond_id = RunRow.id < run_id if descending else RunRow.id > run_id
        if value is None:
            statement = statement.where(key.is_(None), beyond_id)
        else:
            beyond = key < value if descending else key > value
            statement = statement.where(or_(beyond, key.is_(None), and_(key == value, beyond_id)))
    direction = key.desc() if descending else key.asc()
    tie = number.desc() if descending else number.asc()
    order = (tie,) if sort == "id" else (direction.nulls_last(), tie)
    return [Listed(*row) for row in _rows(session, statement.order_by(*order).limit(limit))]


_NUMBERS: dict[str, type[ResultRow] | type[LatestRow]] = {"results": ResultRow, "metrics": LatestRow}


def _by_number(
    session: Session, which: Filter, numbers: type[ResultRow] | type[LatestRow], name: str, descending: bool,
    after: tuple[Any, int] | None, limit: int | None,
) -> list[Listed]:
    """Those that have the number, in the order of its index, so that no more are read than are asked for; then the
    others by id."""
    has_it = and_(numbers.run_id == RunRow.id, numbers.name == name)
    found: list[Listed] = []
    if after is None or after[0] is not None:
        key, number = numbers.value, numbers.run_id
        statement = _matching(which, key).join(numbers, has_it)
        if after is not None:
            value, run_id = after
            beyond = key < value if descending else key > value
            beyond_id = number < run_id if descending else number > run_id
            statement = statement.where(or_(beyond, and_(key == value, beyond_id)))
        order = (key.desc(), number.desc()) if descending else (key.asc(), number.asc())
        found = [Listed(*row) for row in _rows(session, statement.order_by(*order).limit(limit))]
        after = None
    if limit is None or len(found) < limit:
        left = None if limit is None else limit - len(found)
        statement = _matching(which, null()).where(~exists().where(has_it))
        if after is not None:
            statement = statement.where(RunRow.id < after[1] if descending else RunRow.id > after[1])
        order_by_id = RunRow.id.desc() if descending else RunRow.id.asc()
        found += [Listed(*row) for row in _rows(session, statement.order_by(order_by_id).limit(left))]
    return found


def _matching(which: Filter, key: Any, *, with_task: bool = False) -> Select:
    """Selects the ids and sort keys of the runs that match."""
    statement = _filtered(select(RunRow.id, key.label("sort_key")).where(RunRow.deleting.is_(False)), which)
    if which.status is not None or with_task:
        statement = statement.join(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind == TaskKind.TRAIN))
    return statement


def read_json(session: Session, run_ids: list[int]) -> bytes:
    """What `runs.get` gives of these runs, as a JSON list in this order; those that are gone are left out."""
    each = written(session, run_ids)
    return b"[" + b",".join(each[run_id] for run_id in run_ids if run_id in each) + b"]"


def written(session: Session, run_ids: list[int]) -> dict[int, bytes]:
    """Each of these runs that exists as JSON, by id. What is stored as JSON goes out as it is stored."""
    found = _rows(session, _RUNS, {"run_ids": run_ids})
    # Plain objects, whose fields are read ten times as fast as those of a result's row
    rows = [SimpleNamespace(**dict(zip(_COLUMNS, row, strict=True))) for row in found]
    positions = outbox.queue_positions(session, [row.task for row in rows if row.status == Status.QUEUED])
    return {row.id: _json(row, positions.get(row.task)) for row in rows}


_STORED = (RunRow.spec, RunRow.metrics, RunRow.results, RunRow.flags, RunRow.tags, RunRow.provenance)
# As one text a run: three rows of each run took as long as all else of it
_MEASURES = (
    select((
        literal('{"key":"') + EvaluationRow.key + '","params":' + cast(EvaluationRow.params, Text) + ',"name":"'
        + EvaluationRow.name + '"}'
    ).label("text"))
    .where(EvaluationRow.run_id == RunRow.id).order_by(EvaluationRow.id).correlate(RunRow).subquery()
)
# Built once: that takes longer than the database takes to answer
_RUNS = (
    select(
        RunRow.id, RunRow.experiment_id, RunRow.device, RunRow.checkpoint_step, RunRow.notes, RunRow.archived,
        RunRow.created_at, RunRow.spec_version, *(cast(column, Text).label(column.key) for column in _STORED),
        select(func.aggregate_strings(_MEASURES.c.text, ",")).scalar_subquery().label("evaluations"),
        TaskRow.id.label("task"), TaskRow.status, TaskRow.stage, TaskRow.attempt, TaskRow.progress,
        TaskRow.eta_seconds, TaskRow.error, TaskRow.started_at, TaskRow.finished_at, TaskRow.after_task,
        TaskRow.delivered, TaskRow.cancel_requested_at, TaskRow.priority,
    )
    .join(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind == TaskKind.TRAIN))
    .where(among(RunRow.id, list_of_ids("run_ids")), RunRow.deleting.is_(False))
)
_COLUMNS = tuple(_RUNS.selected_columns.keys())


def _rows(session: Session, statement: Select, values: dict[str, Any] | None = None) -> Sequence[Any]:
    """Past the session, which would take each row in hand again."""
    return session.connection().execute(statement, values).all()


def _json(row: Any, position: int | None) -> bytes:
    scalars = to_json({
        "id": row.id, "experiment": row.experiment_id, "status": row.status, "stage": tasks.stage_of(row),
        "priority": tasks.priority_of(row.priority), "queue_position": position, "attempt": row.attempt,
        "progress": row.progress, "eta_seconds": row.eta_seconds, "error": row.error, "device": row.device,
        "checkpoint_step": row.checkpoint_step, "task": row.task, "notes": row.notes, "archived": row.archived,
        "created_at": moment(row.created_at), "started_at": moment(row.started_at),
        "finished_at": moment(row.finished_at),
    })
    stored = {column.key: getattr(row, column.key) for column in _STORED}
    if row.spec_version != SPEC_VERSION:
        stored["spec"] = runs.stored_spec(json.loads(stored["spec"])).model_dump_json()
    stored["evaluations"] = f"[{row.evaluations or ''}]"
    text = "".join(f',"{name}":{_valid(text)}' for name, text in stored.items())
    return b"%b%b}" % (scalars[:-1], text.encode())


def _valid(text: str) -> str:
    """SQLite keeps what Python wrote, which may hold NaN and Infinity; they become null, as in any other answer."""
    return to_json(json.loads(text), inf_nan_mode="null").decode() if "NaN" in text or "Infinity" in text else text


def _filtered(statement: Select, which: Filter) -> Select:
    exact = {
        RunRow.experiment_id: which.experiment, TaskRow.status: which.status, RunRow.dataset: which.dataset,
        RunRow.model: which.model, RunRow.regularizer: which.regularizer, RunRow.archived: which.archived,
    }
    for column, value in exact.items():
        if value is not None:
            statement = statement.where(column == value)
    if which.tag is not None:
        statement = statement.where(cast(RunRow.tags, Text).contains(f'"{which.tag}"', autoescape=True))
    if which.query:
        # As one text: six looks at a row took PostgreSQL twice as long
        text: ColumnElement[str] = cast(RunRow.id, Text)
        for column in (RunRow.notes, RunRow.tags, RunRow.dataset, RunRow.model, RunRow.regularizer):
            text = text + "\n" + cast(column, Text)
        statement = statement.where(text.icontains(which.query, autoescape=True))
    return statement


def _sort_key(sort: str) -> Any:
    plain = {"id": RunRow.id, "created_at": RunRow.created_at, "lambda_": RunRow.lambda_, "status": TaskRow.status,
             "progress": TaskRow.progress}
    if sort in plain:
        return plain[sort]
    raise ValueError(f"cannot sort by {sort!r}; expected id, created_at, status, progress, lambda_, results.NAME or "
                     "metrics.NAME")
