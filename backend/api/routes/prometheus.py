"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_monitoring(request: Request) -> Response:
    """Return metrics of requests, tasks, queues and workers as Prometheus text. Needs a token if the API does."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
