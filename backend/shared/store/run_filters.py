"""Filters of listings of runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RUN_TASKS, Origin, Status
from densitylab.backend.shared.store import run_search
from densitylab.backend.shared.store.id_array import fixed_ids, in_id_array
from densitylab.backend.shared.store.run_conditions import Condition
from densitylab.backend.shared.store.usually import PRESENT, usually
from densitylab.backend.shared.tables import RunRow, TagRow, TaskRow

# A filter with at most this many matches is replaced by their ids. Beyond it, a page of a listing reads few other runs
FEW = 1000


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Filters of a listing. A run matches if it matches each of them; of several values, one is enough. None and
    an empty tuple do not filter, but for `ids`."""

    ids: tuple[int, ...] | None = None  # an empty one matches nothing
    experiment: tuple[int, ...] = ()
    status: tuple[Status, ...] = ()
    dataset: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    regularizer: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    origin: tuple[Origin, ...] = ()
    name: tuple[str, ...] = ()
    seed: tuple[int, ...] = ()
    archived: tuple[bool, ...] = (False,)
    query: str | None = None  # in the name, notes, tags, keys and the run's id
    lambda_min: float | None = None
    lambda_max: float | None = None
    created_after: float | None = None  # seconds since the epoch; inclusive
    created_before: float | None = None  # exclusive
    where: tuple[Condition, ...] = ()  # every one


def narrowed(session: Session, filters: Filter) -> Filter:
    """Return the filters with the ids of the matches of those that few runs match. SQLite cannot know which do: it has
    no statistics, and would go through the runs in the order of the listing or sort all that match."""
    ids = None if filters.ids is None else set(filters.ids)
    for statement in _each(filters, session.get_bind().dialect.name):
        matches = session.connection().execute(statement).scalars().all()
        if len(matches) <= FEW:
            ids = set(matches) if ids is None else ids & set(matches)
    return filters if ids is None else replace(filters, ids=tuple(sorted(ids)))


@lru_cache(maxsize=200)
def _each(filters: Filter, dialect: str) -> tuple[Select[Any], ...]:
    """Return for each filter that an index serves a statement for ids of runs that match it, of one more than few."""
    runs = select(RunRow.id).where(PRESENT)
    statements: list[Select[Any]] = [runs.where(condition) for condition in _of_columns(filters)]
    if filters.archived == (True,):
        statements.append(runs.where(*visible(filters, RunRow)))
    for bounds in (_created(filters), _lambda(filters)):
        if bounds:
            statements.append(select(RunRow.id).where(*visible(filters, RunRow), *bounds))
    if filters.status:
        statements.append(select(TaskRow.run_id).where(*_has_status(filters)))
    if filters.tag:
        statements.append(select(TagRow.run_id).where(TagRow.tag.in_(filters.tag)))
    if filters.query:
        statements.append(run_search.matching(filters.query, dialect))
    statements += [matching for condition in filters.where if (matching := condition.matching()) is not None]
    return tuple(statement.limit(FEW + 1) for statement in statements)


def visible(filters: Filter, runs: type[RunRow]) -> list[ColumnElement[bool]]:
    """Return the conditions that nearly all runs meet: that they are not being deleted, and mostly not archived.

    Args:
        filters: of the listing.
        runs: the table, or an alias of it.
    """
    conditions: list[ColumnElement[bool]] = [usually(runs.deleting.is_(False))]
    if len(archived := set(filters.archived)) == 1:
        conditions.append(runs.archived.is_(True) if archived.pop() else usually(runs.archived.is_(False)))
    return conditions


def selective(filters: Filter) -> list[ColumnElement[bool]]:
    """Return the other conditions, on RunRow."""
    conditions = [*_of_columns(filters), *_created(filters), *_lambda(filters)]
    if filters.ids is not None:
        conditions.append(in_id_array(RunRow.id, fixed_ids(filters.ids)))
    if filters.status:
        conditions.append(exists().where(TaskRow.run_id == RunRow.id, *_has_status(filters)))
    if filters.tag:
        conditions.append(exists().where(TagRow.run_id == RunRow.id, TagRow.tag.in_(filters.tag)))
    if filters.seed:
        conditions.append(RunRow.spec["seed"].as_float().in_(filters.seed))
    if filters.query:
        conditions.append(run_search.contains(filters.query))
    return conditions + [condition.clause() for condition in filters.where]


def _of_columns(filters: Filter) -> Iterator[ColumnElement[bool]]:
    each: dict[Any, tuple[Any, ...]] = {
        RunRow.experiment_id: filters.experiment,
        RunRow.dataset: filters.dataset,
        RunRow.model: filters.model,
        RunRow.regularizer: filters.regularizer,
        RunRow.owner: filters.owner,
        RunRow.origin: filters.origin,
        RunRow.name: filters.name,
    }
    for column, values in each.items():
        if values:
            yield column == values[0] if len(values) == 1 else column.in_(values)


def _has_status(filters: Filter) -> tuple[ColumnElement[bool], ...]:
    # An import has no run before it has read its file
    return TaskRow.kind.in_(RUN_TASKS), TaskRow.status.in_(filters.status), TaskRow.run_id.is_not(None)


def _created(filters: Filter) -> list[ColumnElement[bool]]:
    bounds = []
    if filters.created_after is not None:
        bounds.append(RunRow.created_at >= filters.created_after)
    if filters.created_before is not None:
        bounds.append(RunRow.created_at < filters.created_before)
    return bounds


def _lambda(filters: Filter) -> list[ColumnElement[bool]]:
    bounds = []
    if filters.lambda_min is not None:
        bounds.append(RunRow.lambda_ >= filters.lambda_min)
    if filters.lambda_max is not None:
        bounds.append(RunRow.lambda_ <= filters.lambda_max)
    return bounds
