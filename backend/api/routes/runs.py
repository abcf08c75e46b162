"""Runs: the training of one model each."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field
from pydantic_core import from_json, to_json
from sqlalchemy.orm import Session

from densitylab.backend.api import cursors, raw_json
from densitylab.backend.api.dependencies import (
    Cursor,
    DatabaseDep,
    InstalledCatalog,
    Limit,
    QueueDep,
    StoreDep,
)
from densitylab.backend.api.errors import responses
from densitylab.backend.api.etags import IfMatch, require_match
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.run_filters import Filters
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services import deletion, runs, runs_csv
from densitylab.backend.services.availability import missing_entries
from densitylab.backend.shared import contracts
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Deleted, PartialRun, Run, RunPatch, did_you_mean
from densitylab.backend.shared.store import run_listing
from densitylab.backend.shared.store.runs import lock, patch

router = resource_router("runs", "/runs")
RunId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the run")]
Sort = Annotated[
    str,
    Query(
        pattern=r"^-?(id|created_at|status|progress|lambda_|(results|metrics)\.\w[\w./@:+-]*)$",
        max_length=150,
        description="id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; with - descending. "
        "Runs without a value come last.",
    ),
]


_TOTAL = Field(default=None, description="number of runs that match, on all pages; null unless requested")


class RunPage(contracts.Page[Run]):
    """A page of runs."""

    total: int | None = _TOTAL


class PartialRunPage(contracts.Page[PartialRun]):
    """A page of runs with the requested fields alone."""

    total: int | None = _TOTAL


def _known_field(name: str) -> str:
    if name not in Run.model_fields:
        raise ValueError("a run has no field of this name" + did_you_mean(name, Run.model_fields))
    return name


RunField = Annotated[str, AfterValidator(_known_field), Query(json_schema_extra={"enum": list(Run.model_fields)})]
WithTotal = Annotated[bool, Query(description="also count all runs that match")]


@router.get("", response_model=RunPage, responses=responses(422))
def list_runs(
    database: DatabaseDep,
    catalog: InstalledCatalog,
    filters: Filters,
    sort: Sort = "-id",
    limit: Limit = 50,
    cursor: Cursor = None,
    total: WithTotal = False,
    # Of another type: GET /runs/fields
    fields: Annotated[list[RunField] | None, Query(min_length=1, include_in_schema=False)] = None,
    # Deprecated: GET /runs.csv
    format: Annotated[Literal["json", "csv"], Query(include_in_schema=False)] = "json",
) -> Response:
    """Return the runs that match every filter, newest first by default. Of a repeated filter one value is enough."""
    if format == "csv":
        return export_runs(database, filters, sort, cursor)
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    after = None if cursor is None else cursors.decode(cursor, sort)
    with database.read() as session:
        items = run_listing.sorted_runs(session, filters, sort=key, descending=descending, after=after, limit=limit + 1)
        more = cursors.encode(sort, items[limit - 1].key, items[limit - 1].id) if len(items) > limit else None
        each = run_listing.json_by_id(session, [item.id for item in items[:limit]], partial(missing_entries, catalog))
        number = run_listing.count(session, filters) if total else None
    found = [each[item.id] for item in items[:limit] if item.id in each]
    if fields is not None:
        found = [_with_fields(run, fields) for run in found]
    return raw_json.page(b"[" + b",".join(found) + b"]", more, total=number)


@router.get("/fields", response_model=PartialRunPage, responses=responses(422))
def list_run_fields(
    database: DatabaseDep,
    catalog: InstalledCatalog,
    filters: Filters,
    fields: Annotated[list[RunField], Query(min_length=1, max_length=50, description="fields of the answer")],
    sort: Sort = "-id",
    limit: Limit = 50,
    cursor: Cursor = None,
    total: WithTotal = False,
) -> Response:
    """Return the same runs as the listing, but of each only the requested fields."""
    return list_runs(database, catalog, filters, sort, limit, cursor, total, fields)


@router.get(
    ".csv",
    response_class=Response,
    responses={
        200: {"description": "a row per run", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **responses(422),
    },
)
def export_runs(database: DatabaseDep, filters: Filters, sort: Sort = "-id", cursor: Cursor = None) -> Response:
    """Return every run that matches the filters as a table, with its spec and results."""
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    after = None if cursor is None else cursors.decode(cursor, sort)
    with database.read() as session:
        every = run_listing.sorted_runs(session, filters, sort=key, descending=descending, after=after)
        table = runs_csv.parts(session, [item.id for item in every])
    headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
    return StreamingResponse(table, media_type="text/csv", headers=headers)


@router.get("/{run_id}", response_model=Run, responses=responses(404, 422))
def get_run(run_id: RunId, database: DatabaseDep, catalog: InstalledCatalog) -> Response:
    """Return the run with its spec, status and results."""
    with database.read() as session:
        return raw_json.response(_json(session, catalog, run_id))


@router.patch("/{run_id}", response_model=Run, responses=responses(400, 404, 412, 413, 422))
def change_run(
    run_id: RunId, body: RunPatch, database: DatabaseDep, catalog: InstalledCatalog, if_match: IfMatch = None
) -> Response:
    """Change the given fields; null leaves a field as it is. With If-Match, only if the run is as it was read."""
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    if "name" in changes:
        changes["name"] = changes["name"] or None
    with database.write() as session:
        lock(session, run_id)
        require_match(if_match, _json(session, catalog, run_id))
        patch(session, run_id, changes)
        session.flush()
        return raw_json.response(_json(session, catalog, run_id))


@router.delete("/{run_id}", responses=responses(404, 409, 412, 422))
def delete_run(
    run_id: RunId, database: DatabaseDep, store: StoreDep, catalog: InstalledCatalog, if_match: IfMatch = None
) -> Deleted:
    """Delete the run with its files; return the bytes freed. 409 while it is queued or running. With If-Match, only if
    the run is as it was read."""

    def check(session: Session) -> None:
        require_match(if_match, _json(session, catalog, run_id))

    return Deleted(bytes=deletion.delete_run(database, store, run_id, check))


@router.post("/{run_id}/cancel", status_code=202, responses=responses(404, 409, 422))
def cancel_run(run_id: RunId, database: DatabaseDep) -> Run:
    """Cancel the run's queued tasks and ask its running ones to stop: the training, or the evaluations after it. The
    checkpoint is kept. 409 if all have ended."""
    return runs.cancel(database, run_id)


@router.post("/{run_id}/retry", status_code=202, responses=responses(404, 409, 422))
def retry_run(run_id: RunId, database: DatabaseDep, queue: QueueDep) -> Run:
    """Queue failed and cancelled tasks again: the training, which continues from its checkpoint, or the evaluations of
    a trained run."""
    runs.retry(database, run_id)
    try_deliver(database, queue)
    with database.read() as session:
        return runs.get(session, run_id)


def _with_fields(run: bytes, fields: list[str]) -> bytes:
    content = from_json(run)
    return to_json({name: content[name] for name in fields})


def _json(session: Session, catalog: Catalog, run_id: int) -> bytes:
    answer = run_listing.json_by_id(session, [run_id], partial(missing_entries, catalog)).get(run_id)
    if answer is None:
        raise runs.not_found(run_id)
    return answer
