"""Runs, their results and their curves as columnar files."""

import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

from fastapi import Path
from fastapi.responses import StreamingResponse

from densitylab.backend.api.dependencies import DatabaseDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import Sort
from densitylab.backend.api.run_filters import Filters
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import NotInstalled
from densitylab.backend.shared.store import run_listing
from densitylab.backend.shared.store.run_filters import Filter

router = resource_router("runs")
Table = Annotated[
    Literal["runs", "results", "curves"],
    Path(description="what a row is: a run, a result of an evaluation, or a point of a training curve"),
]
_IN_MEMORY = 2**24  # bytes; larger files lie in the temporary folder until they are sent
_CHUNK = 2**20
_MEDIA_TYPE = "application/octet-stream"  # generators of clients refuse the types that are registered for these files
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
    **responses(422, 501),
}


@router.get("/{table}.parquet", response_class=StreamingResponse, responses=_RESPONSES)
def export_parquet(table: Table, database: DatabaseDep, filters: Filters, sort: Sort = "-id") -> StreamingResponse:
    """Return a table of every run that matches the filters as a Parquet file."""
    return _file(database, filters, sort, table, "parquet")


@router.get("/{table}.arrow", response_class=StreamingResponse, responses=_RESPONSES)
def export_arrow(table: Table, database: DatabaseDep, filters: Filters, sort: Sort = "-id") -> StreamingResponse:
    """Return a table of every run that matches the filters as an Arrow file (IPC, also called Feather)."""
    return _file(database, filters, sort, table, "arrow")


def _file(
    database: Database, filters: Filter, sort: str, table: Any, form: Literal["parquet", "arrow"]
) -> StreamingResponse:
    try:
        from densitylab.backend.services import run_tables
    except ImportError:
        raise NotInstalled(f"a table as {form}", "parquet") from None
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when it is sent
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    with database.read() as session:
        every = run_listing.sorted_runs(session, filters, sort=key, descending=descending)
        run_tables.write(session, [run.id for run in every], table, form, file)
    size = file.tell()
    headers = {"Content-Disposition": f'attachment; filename="{table}.{form}"', "Content-Length": str(size)}
    return StreamingResponse(_chunks(file), headers=headers, media_type=_MEDIA_TYPE)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk
