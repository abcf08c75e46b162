"""The name of a request's route in metrics and traces: a path has as many values as there are runs."""

from starlette.types import Scope


def route_label(scope: Scope) -> str:
    """Return the template of the route that a request was given to, such as `/api/v1/runs/{run}`; "none" without one.

    Args:
        scope: of the request, after the router has seen it.
    """
    label: str = getattr(scope.get("route"), "path", "none")
    return label
