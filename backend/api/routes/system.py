"""What the system consists of just now."""

from fastapi import APIRouter, Request

from backend import system
from backend.api.dependencies import Provenance, QueueDep, Reading
from backend.shared.contracts import System

router = APIRouter(prefix="/system", tags=["system"])


@router.get("")
def get_system(session: Reading, queue: QueueDep, provenance: Provenance, request: Request) -> System:
    """Workers with what they do, lengths of the queues, broker, database, disk and versions."""
    return system.look(session, queue, request.app.state.settings, provenance)
