"""Test images to look at, by what the runs say of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from backend import browsing
from backend.api import cursors
from backend.api.dependencies import Cursor, Reading, RegisteredKnown, StoreDep
from backend.api.problems import responses
from backend.shared.contracts import Id, SamplesFound

router = APIRouter(prefix="/samples", tags=["samples"], dependencies=[RegisteredKnown])
_PAGE = 2000
_ORDER = r"^[a-z0-9_]{1,64}\.[a-z0-9_]{1,64}$"


@router.get("", responses=responses(404, 409, 422))
def browse_samples(
    request: Request, session: Reading, store: StoreDep,
    run: Annotated[list[Id], Query(min_length=1, max_length=6, description="trained runs of one data set")],
    label: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="of this class only")] = None,
    group: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="of this group only")] = None,
    only: Annotated[browsing.Only, Query(description="predictions that qualify")] = "all",
    worst: Annotated[str | None, Query(pattern=_ORDER, max_length=129, description=(
        "the worst first of a measure that is kept per image: <evaluation>.<value>"))] = None,
    limit: Annotated[int, Query(ge=1, le=_PAGE, description="items a page")] = _PAGE,
    cursor: Cursor = None,
) -> SamplesFound:
    """Indices of the test images that pass the filters, with what each run predicts."""
    state = request.app.state
    found = browsing.browse(session, store, state.samples, state.measures, run_ids=run, label=label, group=group,
                            only=only, worst=worst)
    start = 0 if cursor is None else cursors.decode(cursor, "offset")[0]
    end = start + limit
    found.next_cursor = cursors.encode("offset", end, end) if end < found.total else None
    found.items = found.items[start:end]
    return found
