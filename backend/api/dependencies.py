"""Dependencies of the routes."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Id
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import registered_datasets


# Async, since FastAPI runs other functions in a thread
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


async def current_caller(request: Request) -> Caller:
    return getattr(request.state, "caller", LOCAL)


def _reading(request: Request) -> Iterator[Session]:
    with request.app.state.database.read() as session:
        yield session


DatabaseDep = Annotated[Database, Depends(_database)]


def _catalog(request: Request, database: DatabaseDep) -> Catalog:
    with database.read() as session:
        return registered_datasets.with_registered(session, request.app.state.catalog)


async def _installed(request: Request) -> Catalog:
    return request.app.state.catalog


InstalledCatalog = Annotated[Catalog, Depends(_installed)]  # without the data sets that users registered
CatalogDep = Annotated[Catalog, Depends(_catalog)]  # with the data sets that are registered now
StoreDep = Annotated[ArtifactStore, Depends(_store)]
SettingsDep = Annotated[Settings, Depends(_settings)]
QueueDep = Annotated[Queue, Depends(_queue)]
CallerDep = Annotated[Caller, Depends(current_caller)]
Provenance = Annotated[dict[str, str], Depends(_provenance)]
Reading = Annotated[Session, Depends(_reading)]

Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]+$", max_length=500, description="`next_cursor` of the previous page")
]
Limit = Annotated[int, Query(ge=1, le=200, description="items per page")]
# Databases refuse NUL
Search = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="words of the name, notes or tags")
]
_OwnerName = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
OwnerNames = Annotated[
    list[_OwnerName] | None,
    Query(max_length=50, description='name of the token, "administrator" or "local"'),
]
RunIds = Annotated[list[Id], Query(min_length=1, max_length=200, description="numbers of runs, the parameter repeated")]
