"""Routers of the API's resources, with what all of their routes share."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, params
from fastapi.routing import APIRoute

from densitylab.backend.api.errors import responses
from densitylab.backend.api.query_parameters import RefuseUnknownParameters
from densitylab.backend.api.request_checks import check_request

PREFIX = "/api/v1"
COMMON_STATUSES = (400, 403, 408, 413, 422, 429, 431, 503, 507)
"""Of any route: a wrong host, a parameter that the route does not have, a request that is too slow, too large or one of
too many, a database that does not answer, or a full disk."""


def operation_id(route: APIRoute) -> str:
    """Return the name of a route's function as the name of its operation."""
    return route.name


def resource_router(tag: str, prefix: str = "", dependencies: Sequence[params.Depends] = ()) -> APIRouter:
    """Return a router for paths below PREFIX + prefix.

    Its routes are complete, so that the application takes them as they are: `include_router` would build each a second
    time, at the first request.
    """
    return APIRouter(
        prefix=PREFIX + prefix,
        tags=[tag],
        dependencies=[Depends(RefuseUnknownParameters()), Depends(check_request), *dependencies],
        responses=responses(*COMMON_STATUSES),
        generate_unique_id_function=operation_id,
    )
