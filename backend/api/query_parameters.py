"""Refusal of query parameters that a route does not have: a mistyped filter would list everything."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from densitylab.backend.shared.contracts import FieldError, did_you_mean, pointer
from densitylab.backend.shared.errors import InvalidRequest


class RefuseUnknownParameters:
    """Dependency of every route: raise InvalidRequest for a parameter that the route does not declare, and for a second
    value of one that takes a single value."""

    def __init__(self) -> None:
        self._declared: dict[Any, dict[str, bool]] = {}  # by endpoint

    async def __call__(self, request: Request) -> None:
        given = request.query_params
        if not given:
            return
        endpoint = request.scope["endpoint"]
        if endpoint not in self._declared:
            self._declared[endpoint] = dict(_parameters(request.scope["route"].dependant))
        declared = self._declared[endpoint]
        errors = []
        for name in given:
            if name not in declared:
                detail = "there is no parameter of this name" + did_you_mean(name, declared)
            elif not declared[name] and (times := len(given.getlist(name))) > 1:
                detail = f"expected one value; got {times}"
            else:
                continue
            errors.append(FieldError(pointer=pointer("query", name), detail=detail))
        if errors:
            raise InvalidRequest(errors)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the name of each parameter, and whether it may be repeated."""
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
