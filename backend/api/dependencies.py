"""What the routes are given."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session

from backend.queue import Queue
from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import mirror_registered
from backend.shared.contracts import Id
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import registered


# What only looks something up is async: anything else is sent to a thread and back
async def _database(request: Request) -> Database:
    return request.app.state.database


async def _store(request: Request) -> ArtifactStore:
    return request.app.state.store


async def _queue(request: Request) -> Queue:
    return request.app.state.queue


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _provenance(request: Request) -> dict[str, str]:
    return request.app.state.provenance


def _reading(request: Request) -> Iterator[Session]:
    with request.app.state.database.read() as session:
        yield session


DatabaseDep = Annotated[Database, Depends(_database)]


def registered_known(database: DatabaseDep) -> None:
    """Has the catalog know the registered data sets too."""
    with database.read() as session:
        mirror_registered(registered.entries(session))


# For routes that look data sets up
RegisteredKnown = Depends(registered_known)
StoreDep = Annotated[ArtifactStore, Depends(_store)]
SettingsDep = Annotated[Settings, Depends(_settings)]
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
