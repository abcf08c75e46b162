"""Current state of the system."""

from fastapi import Request

from densitylab.backend.api.dependencies import CatalogDep, Provenance, QueueDep, Reading
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services import system
from densitylab.backend.shared.contracts import System

router = resource_router("system", "/system")


@router.get("")
def get_system(
    session: Reading, catalog: CatalogDep, queue: QueueDep, provenance: Provenance, request: Request
) -> System:
    """Return the workers and their tasks, queue lengths, broker, database, disk, plug-ins and versions."""
    return system.describe(session, catalog, queue, request.app.state.settings, provenance)
