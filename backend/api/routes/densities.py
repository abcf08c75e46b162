"""Slices of log p: how rough the density is around an image."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend import attributing
from backend.api.dependencies import DatabaseDep, QueueDep, Reading, RegisteredKnown
from backend.api.problems import not_found, responses
from backend.delivery import deliver_or_leave
from backend.shared.contracts import Density, DensityRequest, Status
from backend.shared.store import attributions

router = APIRouter(prefix="/densities", tags=["densities"], dependencies=[RegisteredKnown])
DensityId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post(
    "", status_code=202, responses={200: {"model": Density, "description": "Kept from an earlier request"},
                                    **responses(400, 404, 409, 413, 422)},
)
def ask_for_density(body: DensityRequest, response: Response, database: DatabaseDep, queue: QueueDep) -> Density:
    """log p along a line and on a plane through an image, under each run."""
    with database.write() as session:
        density_id = attributing.ask_density(session, body)
        answer = _found(attributions.density(session, density_id), density_id)
    response.headers["Location"] = f"/api/v1/densities/{density_id}"
    if answer.status == Status.SUCCEEDED:
        response.status_code = 200
    else:
        deliver_or_leave(database, queue)
    return answer


@router.get("/{density_id}", responses=responses(404, 422))
def get_density(density_id: DensityId, session: Reading) -> Density:
    return _found(attributions.density(session, density_id), density_id)


def _found(answer: Density | None, density_id: int) -> Density:
    if answer is None:
        raise not_found("density", density_id, "/path/density_id")
    return answer
