"""Slices of log p around an image."""

from typing import Annotated

from fastapi import Path, Response
from sqlalchemy.orm import Session

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services import densities
from densitylab.backend.services.idempotency import DeletedSince, once
from densitylab.backend.shared.contracts import Density, DensityRequest, Status
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import attributions

router = resource_router("densities", "/densities")
DensityId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the request for densities")]


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": Density, "description": "The stored result of an earlier request"},
        **responses(400, 404, 409, 413, 422),
    },
)
def ask_for_density(
    body: DensityRequest,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    key: IdempotencyKey,
) -> Density:
    """Compute log p along a line and on a plane through an image, under each run."""

    def make(session: Session) -> int:
        return densities.request(session, catalog, body, key.caller)

    density_id = once(database, key, {"density": body.model_dump(mode="json")}, make).made
    with database.read() as session:
        answer = attributions.density(session, density_id)
    if answer is None:
        raise DeletedSince(f"density {density_id}")
    response.headers["Location"] = f"/api/v1/densities/{density_id}"
    if answer.status == Status.SUCCEEDED:
        response.status_code = 200
    else:
        try_deliver(database, queue)
    return answer


@router.get("/{density_id}", responses=responses(404, 422))
def get_density(density_id: DensityId, session: Reading) -> Density:
    """Return the request, its status and, once finished, its slices."""
    return _get(session, density_id)


def _get(session: Session, density_id: int) -> Density:
    answer = attributions.density(session, density_id)
    if answer is None:
        raise NotFound("density", density_id, "/path/density_id")
    return answer
