"""Test images by what the runs predict for them."""

from typing import Annotated

from fastapi import Query, Request

from densitylab.backend.api import cursors
from densitylab.backend.api.dependencies import Cursor, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services import samples
from densitylab.backend.shared.contracts import Id, SamplesFound

router = resource_router("samples", "/samples")
_PAGE = 2000
_ORDER = r"^[a-z0-9_]{1,64}\.[a-z0-9_]{1,64}$"


@router.get("", responses=responses(404, 409, 422))
def browse_samples(
    request: Request,
    session: Reading,
    store: StoreDep,
    run: Annotated[list[Id], Query(min_length=1, max_length=6, description="trained runs of one data set")],
    label: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only images of this class")] = None,
    group: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only images of this group")] = None,
    only: Annotated[
        samples.Only,
        Query(description="only images that any or all runs predict wrong, or that the runs predict differently"),
    ] = "all",
    worst: Annotated[
        str | None,
        Query(
            pattern=_ORDER,
            max_length=129,
            description="sort by a metric that is stored per image, worst first: <evaluation>.<value>",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_PAGE, description="items per page")] = _PAGE,
    cursor: Cursor = None,
) -> SamplesFound:
    """Return the indices of the test images that pass the filters, with the predictions of each run."""
    state = request.app.state
    matches = samples.browse(
        session,
        store,
        state.samples,
        state.sample_values,
        run_ids=run,
        label=label,
        group=group,
        only=only,
        worst=worst,
    )
    start = 0 if cursor is None else cursors.decode(cursor, "offset")[0]
    end = start + limit
    matches.next_cursor = cursors.encode("offset", end, end) if end < matches.total else None
    matches.items = matches.items[start:end]
    return matches
