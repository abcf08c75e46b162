"""Every error as RFC 9457 problem details, with a JSON pointer to each wrong field."""

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import IntegrityError, OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from backend.attributing import NotNow, UnknownRun
from backend.shared.contracts import FieldError, Problem
from backend.shared.specs import InvalidRequest, pointer

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 100


class ApiError(Exception):
    """A refusal that a route decided on."""

    def __init__(
        self, status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers


def not_found(what: str, number: int | str, at: str) -> ApiError:
    """404 for something that does not exist or was deleted; `at` points to where the request named it."""
    detail = f"{what} {number} does not exist; it may have been deleted"
    return ApiError(404, detail, [FieldError(pointer=at, detail=detail)])


def conflict(detail: str, at: str | None = None, headers: dict[str, str] | None = None) -> ApiError:
    """409: the request is well formed, but not now."""
    return ApiError(409, detail, [] if at is None else [FieldError(pointer=at, detail=detail)], headers)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares about its refusals."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def respond(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> Response:
    """A problem as a response."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=_printable(detail),
        errors=[
            FieldError(pointer=_printable(error.pointer), detail=_printable(error.detail))
            for error in errors[:_MAX_ERRORS]
        ],
    )
    return Response(problem.model_dump_json(), status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""
    handlers: dict[type[Exception], Any] = {
        ApiError: _api_error,
        HTTPException: _http_error,
        RequestValidationError: _malformed,
        InvalidRequest: _invalid,
        UnknownRun: _unknown_run,
        NotNow: _not_now,
        IntegrityError: _integrity,
        OperationalError: _database_down,
        Exception: _bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _api_error(_request: Request, error: ApiError) -> Response:
    return respond(error.status, error.detail, error.errors, error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return method_not_allowed(request.app, request.url.path, request.method)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}"
    return respond(error.status_code, detail, headers=dict(error.headers or {}))


def method_not_allowed(app: FastAPI, path: str, method: str) -> Response:
    """405 that names every method of the path: the router's own answer names those of one route alone."""
    allowed: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            allowed.update(name.upper() for name in operations if name != "parameters")
    listed = ", ".join(sorted(allowed))
    return respond(405, f"{method} is not possible at {path}; expected {listed}", headers={"Allow": listed})


async def _malformed(_request: Request, error: RequestValidationError) -> Response:
    items = error.errors()
    if any(item["type"] == "json_invalid" for item in items):
        place, cause = items[0]["loc"][-1], items[0].get("ctx", {}).get("error", "")
        return respond(400, f"the body is not JSON: {cause} at character {place}")
    merged: dict[str, list[str]] = {}
    for item in items:
        details = merged.setdefault(_pointer(item["loc"], item["type"], error.body), [])
        if item["msg"] not in details:
            details.append(item["msg"])
    errors = [FieldError(pointer=place, detail=" or: ".join(details)) for place, details in merged.items()]
    return respond(422, _summary(errors), errors)


async def _invalid(_request: Request, error: InvalidRequest) -> Response:
    return respond(422, _summary(error.errors), error.errors)


async def _unknown_run(request: Request, error: UnknownRun) -> Response:
    return await _api_error(request, not_found("run", error.run_id, error.pointer))


async def _not_now(request: Request, error: NotNow) -> Response:
    return await _api_error(request, conflict(str(error), error.pointer))


async def _integrity(_request: Request, error: IntegrityError) -> Response:
    logger.warning("a write was refused by the database: %s", error.orig)
    return respond(409, "this contradicts what is stored, probably because of another request at the same moment; "
                        "look at the present state and try again")


async def _database_down(_request: Request, error: OperationalError) -> Response:
    logger.error("the database does not answer: %s", error.orig)
    return respond(503, "the database does not answer; try again in a moment", headers={"Retry-After": "2"})


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
    return respond(500, "an unexpected error, which the log of the API tells; please report it")


def _pointer(location: Sequence[int | str], kind: str, body: Any) -> str:
    """The field as a JSON pointer: into the body, or /query/..., /path/..., /header/... for the rest."""
    source, *parts = location
    if source != "body":
        return pointer(source, *parts)
    # pydantic puts the names of a union's branches between the fields: only what the body holds is a field
    kept: list[int | str] = []
    node = body
    for position, part in enumerate(parts):
        inside_list = isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)
        if inside_list or (isinstance(node, dict) and part in node):
            node = node[part]
        elif not (kind == "missing" and position == len(parts) - 1):
            continue
        kept.append(part)
    return pointer(*kept)


def _summary(errors: Sequence[FieldError]) -> str:
    first = f"{errors[0].pointer or 'the body'}: {errors[0].detail}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"


def _printable(text: str) -> str:
    """Requests are echoed in errors: bounded, and without what UTF-8 cannot hold."""
    bounded = text if len(text) <= 1000 else text[:1000] + "..."
    return re.sub("[\ud800-\udfff\x00]", "\N{REPLACEMENT CHARACTER}", bounded)
