"""Maps: what the runs look at in the same images."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from backend import attributing, attribution_cost
from backend.api import pages
from backend.api.dependencies import DatabaseDep, QueueDep, Reading, RegisteredKnown, StoreDep
from backend.api.problems import conflict, not_found, responses
from backend.delivery import deliver_or_leave
from backend.shared.contracts import Attribution, AttributionCost, AttributionRequest, Status
from backend.shared.store import attributions

router = APIRouter(prefix="/attributions", tags=["attributions"], dependencies=[RegisteredKnown])
AttributionId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post(
    "", status_code=202, response_model=Attribution,
    responses={200: {"model": Attribution | AttributionCost,
                     "description": "Kept from an earlier request, with its maps; or with dry_run what it would cost"},
               **responses(400, 404, 409, 413, 422)},
)
def ask_for_attribution(
    body: AttributionRequest, response: Response, database: DatabaseDep, queue: QueueDep,
    dry_run: Annotated[bool, Query(description="only say what it would cost; nothing is drawn")] = False,
) -> Attribution | Response:
    """Maps of the same images under each run, and of what a perturbation makes of them. The same request on the same
    checkpoints is answered from the cache."""
    if dry_run:
        with database.read() as session:
            told = attribution_cost.cost(session, body)
        return pages.written(told.model_dump_json())
    with database.write() as session:
        attribution_id = attributing.ask(session, body)
        answer = _found(attributions.get(session, attribution_id), attribution_id)
    response.headers["Location"] = f"/api/v1/attributions/{attribution_id}"
    if answer.status == Status.SUCCEEDED:
        response.status_code = 200
    else:
        deliver_or_leave(database, queue)
    return answer


@router.get("/{attribution_id}", responses=responses(404, 422))
def get_attribution(attribution_id: AttributionId, session: Reading) -> Attribution:
    return _found(attributions.get(session, attribution_id), attribution_id)


@router.get(
    "/{attribution_id}/arrays", response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses(404, 409, 422),
    },
)
def download_arrays(attribution_id: AttributionId, session: Reading, store: StoreDep) -> Response:
    """The raw maps as NPZ."""
    answer = _found(attributions.get(session, attribution_id), attribution_id)
    location = attributions.location(session, attribution_id)
    if location is None:
        raise conflict(f"the maps of attribution {attribution_id} are not there: it is {answer.status}")
    try:
        content = store.read(location)
    except FileNotFoundError:
        raise _missing(attribution_id) from None
    return Response(
        content, media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="attribution-{attribution_id}.npz"'},
    )


def _found(answer: Attribution | None, attribution_id: int) -> Attribution:
    if answer is None:
        raise _missing(attribution_id)
    return answer


def _missing(attribution_id: int) -> Exception:
    return not_found("attribution", attribution_id, "/path/attribution_id")
