"""Logs of runs."""

from typing import Annotated, Literal

from fastapi import Query
from fastapi.responses import PlainTextResponse

from densitylab.backend.api.dependencies import Reading, Search
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import LogLine
from densitylab.backend.shared.store import logs

router = resource_router("log")
_ALL = 1_000_000
After = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="lines after this id; default: the last lines")]


class LogPage(contracts.Page[LogLine]):
    """A page of log lines."""


@router.get("/runs/{run_id}/log", response_model=LogPage, responses=responses(404, 422))
def get_log(
    run_id: RunId,
    session: Reading,
    after: After = None,
    q: Search = None,
    limit: Annotated[int, Query(ge=1, le=5000, description="lines")] = 200,
    # Deprecated: GET /runs/{run_id}/log.txt
    format: Annotated[Literal["json", "text"], Query(include_in_schema=False)] = "json",
) -> LogPage | PlainTextResponse:
    """Return the last lines of the log, or those after a line id, in order."""
    if format == "text":
        return download_log(run_id, session, after, q)
    get_run(session, run_id)
    return LogPage(items=logs.read(session, run_id, after=after, query=q, limit=limit))


@router.get(
    "/runs/{run_id}/log.txt",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "a line of text per log line", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **responses(404, 422),
    },
)
def download_log(run_id: RunId, session: Reading, after: After = None, q: Search = None) -> PlainTextResponse:
    """Return the whole log, or the lines after a line id."""
    get_run(session, run_id)
    lines = logs.read(session, run_id, after=after, query=q, limit=_ALL)
    text = "".join(f"{line.at.isoformat(timespec='milliseconds')} {line.level} {line.text}\n" for line in lines)
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="run-{run_id}.log"'})
