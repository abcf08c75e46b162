"""Current state of the system."""

from fastapi import APIRouter, Request

from densitylab.backend.api.dependencies import CatalogDep, Provenance, QueueDep, Reading
from densitylab.backend.services import system
from densitylab.backend.shared.contracts import System

router = APIRouter(prefix="/system", tags=["system"])


@router.get("")
def get_system(
    session: Reading, catalog: CatalogDep, queue: QueueDep, provenance: Provenance, request: Request
) -> System:
    """Return the workers and their tasks, queue lengths, broker, database, disk, plug-ins and versions."""
    return system.describe(session, catalog, queue, request.app.state.settings, provenance)
