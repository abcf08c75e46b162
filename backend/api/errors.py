"""Every error as RFC 9457 problem details, with a JSON pointer to each wrong field."""

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import compile_path

from densitylab.backend.api.exact_json import not_json
from densitylab.backend.shared.contracts import FieldError, Problem, ProblemType, pointer
from densitylab.backend.shared.contracts.problems import BY_STATUS
from densitylab.backend.shared.contracts.sentences import sentence
from densitylab.backend.shared.database import explain
from densitylab.backend.shared.disk_full import DatabaseFull, DiskFull, full_disk, is_full
from densitylab.backend.shared.errors import DomainError, InvalidRequest

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 100


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declaration of a route's errors."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def respond(
    status: int,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    kind: ProblemType | None = None,
) -> Response:
    """Return a problem as a response; without a kind, of that of the status."""
    problem = Problem(
        type=kind or BY_STATUS[status],
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_printable(detail),
        errors=[
            FieldError(pointer=_printable(error.pointer), detail=_printable(error.detail))
            for error in errors[:_MAX_ERRORS]
        ],
    )
    return Response(problem.model_dump_json(), status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Turn every error of the routes into a problem, and those of the middlewares that are added before."""
    handlers: dict[type[Exception], Any] = {
        DomainError: _domain_error,
        HTTPException: _http_error,
        RequestValidationError: _malformed,
        IntegrityError: _integrity,
        DatabaseFull: _disk_full,
        OperationalError: _database_down,
        TimeoutError: _database_down,
        OSError: _file_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(ExceptionMiddleware, handlers=handlers)


async def _domain_error(_request: Request, error: DomainError) -> Response:
    return respond(error.status, error.detail, error.errors, error.headers, error.type)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return method_not_allowed(request.app, request.url.path, request.method)
    if (cause := error.__cause__) is not None and is_full(cause):  # while the form was read
        return await _file_error(request, cause)
    detail = f"the body is unreadable: {not_json(cause)}" if isinstance(cause, ValueError) else str(error.detail)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}"
    return respond(error.status_code, detail, headers=dict(error.headers or {}))


def method_not_allowed(app: FastAPI, path: str, method: str) -> Response:
    """Return a 405 that names every method of the path: the router's own answer names those of one route alone. A path
    that is declared without parameters has its own methods only."""
    allowed: set[str] = set()
    paths = app.openapi()["paths"]
    for template, operations in ({path: paths[path]} if path in paths else paths).items():
        if compile_path(template)[0].match(path):
            allowed.update(name.upper() for name in operations if name != "parameters")
            if "get" in operations and not path.endswith("/events"):
                allowed.add("HEAD")
    listed = ", ".join(sorted(allowed))
    return respond(405, f"{method} is not possible at {path}; expected {listed}", headers={"Allow": listed})


async def _malformed(_request: Request, error: RequestValidationError) -> Response:
    items = error.errors()
    if any(item["type"] == "json_invalid" for item in items):
        position, cause = items[0]["loc"][-1], items[0].get("ctx", {}).get("error", "")
        return respond(400, f"the body is not JSON: {cause} at character {position}")
    merged: dict[str, list[str]] = {}
    for item in items:
        details = merged.setdefault(_pointer(item["loc"], item["type"], error.body), [])
        if (text := sentence(item)) not in details:
            details.append(text)
    invalid = InvalidRequest([FieldError(pointer=field, detail=" or: ".join(text)) for field, text in merged.items()])
    return respond(invalid.status, invalid.detail, invalid.errors)


async def _integrity(_request: Request, error: IntegrityError) -> Response:
    logger.warning("the database refused a write: %s", error.orig)
    return respond(
        409,
        "this contradicts what is stored, probably because of another request at the same moment; "
        "look at the present state and try again",
    )


async def _database_down(_request: Request, error: SQLAlchemyError) -> Response:
    reason = explain(error)
    logger.error("%s: %s", reason, getattr(error, "orig", None) or error)
    return respond(503, f"{reason}; try again in a moment", headers={"Retry-After": "2"})


async def _disk_full(_request: Request, error: DiskFull | DatabaseFull) -> Response:
    where = error.orig if isinstance(error, DatabaseFull) else error.folder
    logger.error("the disk of the %s is full: %s", error.disk, where)
    return respond(
        507, f"the disk of the {error.disk} is full; nothing was stored: free some space on it, then try again"
    )


async def _file_error(request: Request, error: BaseException) -> Response:
    full = full_disk(error, {"temporary folder": Path(tempfile.gettempdir())})  # of uploads
    return await (_bug(request, error) if full is None else _disk_full(request, full))


async def _bug(request: Request, error: BaseException) -> Response:
    logger.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
    return respond(500, "an unexpected error; the log of the API has the details; please report it")


def _pointer(location: Sequence[int | str], kind: str, body: Any) -> str:
    """Return the field as a JSON pointer: into the body, or /query/..., /path/..., /header/... for the rest."""
    source, *parts = location
    if source != "body":
        return pointer(source, *parts)
    # pydantic puts the names of a union's branches between the fields: only the names in the body are fields
    fields: list[int | str] = []
    node = body
    for position, part in enumerate(parts):
        inside_list = isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)
        if inside_list or (isinstance(node, dict) and part in node):
            node = node[part]
        elif not (kind == "missing" and position == len(parts) - 1):
            continue
        fields.append(part)
    return pointer(*fields)


def _printable(text: str) -> str:
    """Return at most 1000 characters of a text, without what UTF-8 cannot encode: errors repeat parts of requests."""
    bounded = text if len(text) <= 1000 else text[:1000] + "..."
    return re.sub("[\ud800-\udfff\x00]", "\N{REPLACEMENT CHARACTER}", bounded)
