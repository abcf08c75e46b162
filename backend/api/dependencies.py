"""What the routes are given."""

import hmac
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.params import Depends as DependsParameter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from backend.api.problems import ApiError
from backend.queue import Queue
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Id
from backend.shared.database import Database
from backend.shared.settings import Settings


def _database(request: Request) -> Database:
    return request.app.state.database


def _store(request: Request) -> ArtifactStore:
    return request.app.state.store


def _queue(request: Request) -> Queue:
    return request.app.state.queue


def _provenance(request: Request) -> dict[str, str]:
    return request.app.state.provenance


def _reading(request: Request) -> Iterator[Session]:
    with request.app.state.database.read() as session:
        yield session


DatabaseDep = Annotated[Database, Depends(_database)]
StoreDep = Annotated[ArtifactStore, Depends(_store)]
QueueDep = Annotated[Queue, Depends(_queue)]
Provenance = Annotated[dict[str, str], Depends(_provenance)]
Reading = Annotated[Session, Depends(_reading)]

Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]+$", max_length=500, description="`next_cursor` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=200, description="items a page")]
# Anything a database can be asked for; NUL cannot
Search = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
RunIds = Annotated[list[Id], Query(min_length=1, max_length=200)]

_bearer = HTTPBearer(auto_error=False, description="DENSITYLAB_API_TOKEN")


def authorizer(settings: Settings) -> list[DependsParameter]:
    """The dependencies that keep out who does not know the token; none where no token is set."""
    if settings.api_token is None:
        return []
    expected = settings.api_token.get_secret_value().encode()

    def authorize(given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode("latin-1"), expected):
            raise ApiError(
                401, "expected the API's token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return [Depends(authorize)]
