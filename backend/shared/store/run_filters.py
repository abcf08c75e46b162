"""Filters of listings of runs."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, or_

from densitylab.backend.shared.contracts import Origin, Status
from densitylab.backend.shared.store.run_conditions import Condition
from densitylab.backend.shared.tables import RunRow, TaskRow


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Filters of a listing. A run matches if it matches each of them; of several values, one is enough. None and an
    empty tuple do not filter."""

    ids: tuple[int, ...] = ()
    experiment: tuple[int, ...] = ()
    status: tuple[Status, ...] = ()
    dataset: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    regularizer: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    origin: tuple[Origin, ...] = ()
    seed: tuple[int, ...] = ()
    archived: tuple[bool, ...] = (False,)
    query: str | None = None  # in notes, tags, keys and the run's id
    lambda_min: float | None = None
    lambda_max: float | None = None
    created_after: float | None = None  # seconds since the epoch; inclusive
    created_before: float | None = None  # exclusive
    where: tuple[Condition, ...] = ()  # every one


def filtered(statement: Select, filters: Filter) -> Select:
    """Return a statement on RunRow with the conditions of the filters; with a status, it must have TaskRow."""
    exact: dict[Any, tuple[Any, ...]] = {
        RunRow.id: filters.ids,
        RunRow.experiment_id: filters.experiment,
        TaskRow.status: filters.status,
        RunRow.dataset: filters.dataset,
        RunRow.model: filters.model,
        RunRow.regularizer: filters.regularizer,
        RunRow.owner: filters.owner,
        RunRow.origin: filters.origin,
        RunRow.archived: filters.archived,
    }
    for column, values in exact.items():
        if values:
            statement = statement.where(column == values[0] if len(values) == 1 else column.in_(values))
    if filters.tag:
        tags = cast(RunRow.tags, Text)
        statement = statement.where(or_(*(tags.contains(json.dumps(tag), autoescape=True) for tag in filters.tag)))
    if filters.seed:
        statement = statement.where(RunRow.spec["seed"].as_float().in_(filters.seed))
    if filters.query:
        statement = statement.where(_contains(filters.query))
    if filters.lambda_min is not None:
        statement = statement.where(RunRow.lambda_ >= filters.lambda_min)
    if filters.lambda_max is not None:
        statement = statement.where(RunRow.lambda_ <= filters.lambda_max)
    if filters.created_after is not None:
        statement = statement.where(RunRow.created_at >= filters.created_after)
    if filters.created_before is not None:
        statement = statement.where(RunRow.created_at < filters.created_before)
    return statement.where(*(condition.clause() for condition in filters.where))


def _contains(query: str) -> ColumnElement[bool]:
    # As one text: six conditions take PostgreSQL twice as long
    text: ColumnElement[str] = cast(RunRow.id, Text)
    for column in (RunRow.notes, RunRow.tags, RunRow.dataset, RunRow.model, RunRow.regularizer):
        text = text + "\n" + cast(column, Text)
    condition = text.icontains(query, autoescape=True)
    as_json = json.dumps(query)[1:-1]  # as tags are stored
    if as_json == query:
        return condition
    return or_(condition, cast(RunRow.tags, Text).icontains(as_json, autoescape=True))
