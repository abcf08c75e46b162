"""Listings of runs, serialised directly to JSON: five times as fast as pydantic models."""

import json
from collections import Counter, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, func, literal, null, select
from sqlalchemy.orm import Session, aliased

from densitylab.backend.shared.contracts import RUN_TASKS, SPEC_VERSION, Lineage, Status
from densitylab.backend.shared.store import lineage, outbox, runs, tasks
from densitylab.backend.shared.store.id_array import fixed_ids, id_array, in_id_array
from densitylab.backend.shared.store.run_conditions import NUMBERS
from densitylab.backend.shared.store.run_filters import Filter, narrowed, selective, visible
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import EvaluationRow, LatestRow, ResultRow, RunRow, TaskRow


class SortedRun(NamedTuple):
    """A run in a sorted listing: its id and sort key, from which a cursor is made."""

    id: int
    key: Any


def sorted_runs(
    session: Session,
    filters: Filter,
    *,
    sort: str,
    descending: bool,
    after: tuple[Any, int] | None = None,
    limit: int | None = None,
) -> list[SortedRun]:
    """Return the runs that match, in order.

    Args:
        sort: "id", "created_at", "status", "progress", "lambda_", "results.<name>" or "metrics.<name>".
        after: (sort key, id) of the previous page's last run. Runs without a value come last.
    """
    filters = narrowed(session, filters)
    listed: list[SortedRun] = []
    if after is None or after[0] is not None:
        for bound in _bounds(sort, after):
            if limit is None or len(listed) < limit:
                left = None if limit is None else limit - len(listed)
                listed += map(SortedRun._make, _rows(session, _ordered(filters, sort, descending, bound, left)))
        after = None
    if _may_lack(sort) and (limit is None or len(listed) < limit):
        left = None if limit is None else limit - len(listed)
        without = _without_value(filters, sort, descending, None if after is None else after[1], left)
        listed += map(SortedRun._make, _rows(session, without))
    return listed


# Pages ask for the same listing again and again: building its statement takes twice as long as executing it
_kept = lru_cache(maxsize=200)
_Listed = aliased(RunRow)
_OF_COLUMNS = {"id": RunRow.id, "created_at": _Listed.created_at, "lambda_": _Listed.lambda_}
_OF_TASKS = {"status": TaskRow.status, "progress": TaskRow.progress}


class _Bound(NamedTuple):
    """Where a part of a page begins: after this key, or among the runs with this key after this id."""

    key: Any
    id: int | None


def _bounds(sort: str, after: tuple[Any, int] | None) -> list[_Bound | None]:
    """Return where the rest of a page begins: runs with the same key, then the others. With one condition for both, on
    row values, SQLite reads all runs with that key."""
    if after is None:
        return [None]
    return [_Bound(after[1], None)] if sort == "id" else [_Bound(*after), _Bound(after[0], None)]


@_kept
def _ordered(filters: Filter, sort: str, descending: bool, after: _Bound | None, limit: int | None) -> Select:
    """Return a statement for the ids and sort keys of the runs that have a value. An index has their order."""
    statement, number, key = _of_sort(filters, sort)
    by = (number,) if sort == "id" else (key, number)
    if after is not None:
        last = literal(after.key, by[0].type)
        if after.id is None:
            statement = statement.where(by[0] < last if descending else by[0] > last)
        else:
            statement = statement.where(key == last, number < after.id if descending else number > after.id)
    return statement.order_by(*(column.desc() if descending else column.asc() for column in by)).limit(limit)


def _of_sort(filters: Filter, sort: str) -> tuple[Select, Any, Any]:
    """Return a statement for the runs that match, without an order, with the columns of their ids and sort keys."""
    number: Any
    key: Any
    conditions: list[ColumnElement[bool]]
    statement: Select
    if sort == "id" and (len(filters.status) != 1 or filters.ids is not None):
        statement = select(RunRow.id, RunRow.id.label("sort_key"))
        return statement.where(*visible(filters, RunRow), *selective(filters)), RunRow.id, RunRow.id
    by_status = sort == "id"  # with one status, the index of the tasks has this order already
    chosen = selective(replace(filters, status=()) if by_status else filters)
    if sort in ("created_at", "lambda_"):
        number, key, conditions = _Listed.id, _OF_COLUMNS[sort], visible(filters, _Listed)
        conditions.append(key.is_not(None))
    else:
        chosen += visible(filters, RunRow)
        if by_status:
            number, key = TaskRow.run_id, TaskRow.run_id
            conditions = [TaskRow.kind.in_(RUN_TASKS), TaskRow.status == filters.status[0]]
        elif sort in _OF_TASKS:
            number, key, conditions = TaskRow.run_id, _OF_TASKS[sort], [TaskRow.kind.in_(RUN_TASKS)]
        else:
            numbers, name = _numbers(sort)
            number, key, conditions = numbers.run_id, numbers.value, [numbers.name == name]
    statement = select(number.label("id"), key.label("sort_key")).where(*conditions)
    if filters.ids is not None:
        statement = statement.where(in_id_array(number, fixed_ids(filters.ids)))
    # Not a join, for which SQLite would read all runs first and then sort them
    return statement.where(exists().where(RunRow.id == number, *chosen)) if chosen else statement, number, key


@_kept
def _without_value(filters: Filter, sort: str, descending: bool, after: int | None, limit: int | None) -> Select:
    """Return a statement for the runs without a value, by id."""
    statement: Select = select(RunRow.id, null()).where(*visible(filters, RunRow), *selective(filters))
    if sort == "lambda_":
        statement = statement.where(RunRow.lambda_.is_(None))
    else:
        numbers, name = _numbers(sort)
        statement = statement.where(~exists().where(numbers.run_id == RunRow.id, numbers.name == name))
    if after is not None:
        statement = statement.where(RunRow.id < after if descending else RunRow.id > after)
    return statement.order_by(RunRow.id.desc() if descending else RunRow.id.asc()).limit(limit)


def _may_lack(sort: str) -> bool:
    """Return whether a run may have no value to sort by. Raises ValueError for what cannot be sorted by."""
    if sort in _OF_COLUMNS or sort in _OF_TASKS:
        return sort == "lambda_"
    _numbers(sort)
    return True


def _numbers(sort: str) -> tuple[type[ResultRow] | type[LatestRow], str]:
    """Return the table of a sort by "results.<name>" or "metrics.<name>", and the name."""
    column, _, name = sort.partition(".")
    if column not in NUMBERS:
        raise ValueError(
            f"cannot sort by {sort!r}; expected id, created_at, status, progress, lambda_, results.NAME or metrics.NAME"
        )
    return NUMBERS[column], name


def count(session: Session, filters: Filter) -> int:
    """Return the number of runs that match."""
    filters = narrowed(session, filters)
    matching = select(RunRow.id).where(*visible(filters, RunRow), *selective(filters))
    return session.scalar(select(func.count()).select_from(matching.subquery())) or 0


def read_json(session: Session, run_ids: list[int]) -> bytes:
    """Return these runs as a JSON list in this order, equal to `runs.get`; runs that do not exist are left out."""
    each = json_by_id(session, run_ids)
    return b"[" + b",".join(each[run_id] for run_id in run_ids if run_id in each) + b"]"


def json_by_id(
    session: Session, run_ids: list[int], missing: Callable[[str], list[str]] = lambda _: []
) -> dict[int, bytes]:
    """Return the JSON of each of these runs that exists, by id. Columns that are stored as JSON are not parsed.

    Args:
        missing: returns from a run's provenance, in JSON, what it needs and is not installed.
    """
    fetched = _rows(session, _RUNS, {"run_ids": run_ids})
    # Plain tuples: reading their fields is ten times as fast as reading those of a result's row
    rows: list[Any] = [_Row._make(row) for row in fetched]
    positions = outbox.queue_positions(session, [row.task for row in rows if row.status == Status.QUEUED])
    lineages = lineage.of_runs(session, {row.id: row.init_from_run for row in rows})
    return {
        row.id: _json(row, positions.get(row.task), lineages.get(row.id, _NO_LINEAGE), missing(row.provenance))
        for row in rows
    }


def results(session: Session, run_ids: list[int]) -> list[tuple[int, dict[str, dict[str, Any]]]]:
    """Return (id, results) of each of these runs that exists, in this order."""
    rows = session.execute(select(RunRow.id, RunRow.results).where(RunRow.id.in_(run_ids)))
    each = {row.id: row.results for row in rows}
    return [(run_id, each[run_id]) for run_id in run_ids if run_id in each]


_STORED = (RunRow.spec, RunRow.source, RunRow.metrics, RunRow.results, RunRow.flags, RunRow.tags, RunRow.provenance)
_EVALUATE = aliased(TaskRow)
_ITEMS, _STATUS = "\x1e", "\x1f"  # separators: in JSON and in names such characters are escaped or refused
# One text per run, with the status of each: three more rows per run would double the time
_EVALUATIONS = (
    select(
        (
            literal('{"key":"')
            + EvaluationRow.key
            + '","params":'
            + cast(EvaluationRow.params, Text)
            + ',"name":"'
            + EvaluationRow.name
            + '","split":"'
            + EvaluationRow.split
            + f'"}}{_STATUS}'
            + _EVALUATE.status
        ).label("text"),
    )
    .join(_EVALUATE, _EVALUATE.id == EvaluationRow.task_id)
    .where(EvaluationRow.run_id == RunRow.id)
    .order_by(EvaluationRow.id)
    .correlate(RunRow)
    .subquery()
)
# Built once: building it takes longer than executing it
_RUNS = (
    select(
        RunRow.id,
        RunRow.experiment_id,
        RunRow.device,
        RunRow.checkpoint_step,
        RunRow.origin,
        RunRow.init_from_run,
        RunRow.lambda_,
        RunRow.name,
        RunRow.notes,
        RunRow.archived,
        RunRow.owner,
        RunRow.created_at,
        RunRow.spec_version,
        *(cast(column, Text).label(column.key) for column in _STORED),
        select(func.aggregate_strings(_EVALUATIONS.c.text, _ITEMS)).scalar_subquery().label("evaluations"),
        TaskRow.id.label("task"),
        TaskRow.status,
        TaskRow.stage,
        TaskRow.attempt,
        TaskRow.progress,
        TaskRow.eta_seconds,
        TaskRow.error,
        TaskRow.started_at,
        TaskRow.finished_at,
        TaskRow.after_task,
        TaskRow.delivered,
        TaskRow.cancel_requested_at,
        TaskRow.priority,
    )
    .join(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind.in_(RUN_TASKS)))
    .where(in_id_array(RunRow.id, id_array("run_ids")), PRESENT)
)
_NO_LINEAGE = Lineage().model_dump()
_Row = namedtuple("_Row", _RUNS.selected_columns.keys())  # type: ignore[misc]


def _rows(session: Session, statement: Select, values: dict[str, Any] | None = None) -> Sequence[Any]:
    """Return rows without the session, whose processing of each row takes time."""
    return session.connection().execute(statement, values).all()


def _json(row: Any, position: int | None, lineage_: Lineage | dict[str, Any], missing: list[str]) -> bytes:
    evaluations = [item.split(_STATUS) for item in row.evaluations.split(_ITEMS)] if row.evaluations else []
    counts, measured = _measured(row.status, tuple([status for _, status in evaluations]))
    scalars = to_json(
        {
            "id": row.id,
            "experiment": row.experiment_id,
            "name": row.name,
            "status": row.status,
            "evaluation_counts": counts,
            "measured": measured,
            "stage": tasks.stage_of(row),
            "priority": tasks.priority_of(row.priority).value,
            "queue_position": position,
            "attempt": row.attempt,
            "progress": row.progress,
            "eta_seconds": row.eta_seconds,
            "error": row.error,
            "device": row.device,
            "checkpoint_step": row.checkpoint_step,
            "origin": row.origin,
            "lambda_": row.lambda_,
            "lineage": lineage_,
            "task": row.task,
            "notes": row.notes,
            "archived": row.archived,
            "owner": row.owner,
            "missing": missing,
            "created_at": to_datetime(row.created_at),
            "started_at": to_datetime(row.started_at),
            "finished_at": to_datetime(row.finished_at),
        }
    )
    spec = row.spec
    if row.spec_version != SPEC_VERSION:
        spec = runs.stored_spec(json.loads(spec)).model_dump_json()
    stored = (  # an f-string takes a fifth of the time of a loop over the columns
        f'"spec":{spec},"source":{row.source or "null"},"metrics":{row.metrics},"results":{row.results},'
        f'"flags":{row.flags},"tags":{row.tags},"provenance":{row.provenance},'
        f'"evaluations":[{",".join([text for text, _ in evaluations])}]'
    )
    return b"%b,%b}" % (scalars[:-1], _valid(stored).encode())


@lru_cache(maxsize=1000)
def _measured(status: str, evaluations: tuple[str, ...]) -> tuple[dict[str, int], bool]:
    """Return the number of evaluations by status, and whether the run is measured."""
    counts = Counter(evaluations)
    return dict(counts), runs.is_measured(status, counts)


def _valid(fields: str) -> str:
    """Replace NaN and Infinity, which SQLite stores as Python wrote them, by null, as in other responses."""
    # A single character is found ten times as fast as a word
    if ("N" not in fields or "NaN" not in fields) and ("I" not in fields or "Infinity" not in fields):
        return fields
    return to_json(json.loads(f"{{{fields}}}"), inf_nan_mode="null").decode()[1:-1]
