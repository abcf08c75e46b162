"""Attribution maps of the same images under several runs."""

import io
from typing import Annotated

from fastapi import Path, Query, Request, Response
from sqlalchemy.orm import Session

from densitylab.backend.api import raw_json
from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.file_response import file_response
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services.attributions import MapsDamaged
from densitylab.backend.services.attributions import arrays as stored_arrays
from densitylab.backend.services.attributions import request as request_attribution
from densitylab.backend.services.estimates import attribution_cost
from densitylab.backend.services.idempotency import DeletedSince, once
from densitylab.backend.shared.contracts import Attribution, AttributionCost, AttributionRequest, Status
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import attributions

router = resource_router("attributions", "/attributions")
AttributionId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the request for maps")]


@router.post(
    "",
    status_code=202,
    response_model=Attribution,
    responses={
        200: {"model": Attribution, "description": "The stored maps of an earlier request"},
        **responses(400, 404, 409, 413, 422),
    },
)
def ask_for_attribution(
    body: AttributionRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
    # Deprecated: POST /attributions/preflight
    dry_run: Annotated[bool, Query(include_in_schema=False)] = False,
) -> Attribution | Response:
    """Compute maps of the same images under each run, optionally also of the perturbed images. A request that was made
    before, on the same checkpoints, returns the stored maps."""
    if dry_run:
        return preflight_attribution(body, database, catalog)

    def make(session: Session) -> int:
        return request_attribution(session, catalog, queue, body, key.caller)

    attribution_id = once(database, key, {"attribution": body.model_dump(mode="json")}, make).made
    with database.read() as session:
        answer = attributions.get(session, attribution_id)
    if answer is None:
        raise DeletedSince(f"attribution {attribution_id}")
    response.headers["Location"] = f"/api/v1/attributions/{attribution_id}"
    if answer.status == Status.SUCCEEDED:
        response.status_code = 200
    else:
        try_deliver(database, queue)
    return answer


@router.post("/preflight", response_model=AttributionCost, responses=responses(400, 404, 409, 413, 422))
def preflight_attribution(body: AttributionRequest, database: DatabaseDep, catalog: CatalogDep) -> Response:
    """Check a request for maps and estimate its cost; compute nothing."""
    with database.read() as session:
        return raw_json.response(attribution_cost.cost(session, catalog, body).model_dump_json())


@router.get("/{attribution_id}", responses=responses(404, 422))
def get_attribution(attribution_id: AttributionId, session: Reading) -> Attribution:
    """Return the request, its status and, once finished, its panels."""
    return _get(session, attribution_id)


@router.get(
    "/{attribution_id}/arrays",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses(404, 409, 416, 422),
    },
)
def download_arrays(
    attribution_id: AttributionId, request: Request, database: DatabaseDep, store: StoreDep, queue: QueueDep
) -> Response:
    """Return the raw maps as NPZ, with their SHA-256 in the header Repr-Digest. Maps whose file is damaged are drawn
    again, with the answer 409."""
    try:
        content, location = stored_arrays(database, store, attribution_id)
    except MapsDamaged:
        try_deliver(database, queue)
        raise
    return file_response(
        request,
        io.BytesIO(content),
        location,
        media_type="application/octet-stream",
        filename=f"attribution-{attribution_id}.npz",
    )


def _get(session: Session, attribution_id: int) -> Attribution:
    answer = attributions.get(session, attribution_id)
    if answer is None:
        raise NotFound("attribution", attribution_id, "/path/attribution_id")
    return answer
