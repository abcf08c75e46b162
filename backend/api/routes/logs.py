"""Logs of runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from backend.api.dependencies import Reading, Search
from backend.api.problems import responses
from backend.api.routes.runs import RunId, found
from backend.shared import contracts
from backend.shared.contracts import LogLine
from backend.shared.store import logs, runs

router = APIRouter(tags=["log"])
_ALL = 1_000_000


class LogPage(contracts.Page):
    items: list[LogLine]


@router.get(
    "/runs/{run_id}/log", response_model=LogPage,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses(404, 422)},
)
def get_log(
    run_id: RunId, session: Reading,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="lines after this id; else the last")] = None,
    q: Search = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 200,
    format: Annotated[Literal["json", "text"], Query(description="text: the whole log to download")] = "json",
) -> LogPage | PlainTextResponse:
    """The last lines of the log, or those after one; in order."""
    found(runs.get(session, run_id), run_id)
    if format == "json":
        return LogPage(items=logs.read(session, run_id, after=after, query=q, limit=limit))
    lines = logs.read(session, run_id, after=after, query=q, limit=_ALL)
    text = "".join(f"{line.at.isoformat(timespec='milliseconds')} {line.level} {line.text}\n" for line in lines)
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="run-{run_id}.log"'})
