"""Data sets and their images."""

from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from densitylab.backend.api import cursors
from densitylab.backend.api.dependencies import (
    CatalogDep,
    Cursor,
    DatabaseDep,
    QueueDep,
    Reading,
    SettingsDep,
    StoreDep,
)
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.task_response import task_response
from densitylab.backend.services import dataset_removal, datasets, previews
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared import contracts
from densitylab.backend.shared.catalog import DatasetEntry
from densitylab.backend.shared.contracts import Dataset, DatasetSample, Deleted, PrepareRequest, Split, Task

router = resource_router("datasets", "/datasets")
DatasetKey = Annotated[str, Path(pattern=r"^[a-z0-9_]+$", max_length=64, description="key of the data set")]
Index = Annotated[int, Query(ge=0, le=2**31 - 1)]


class DatasetPage(contracts.Page[Dataset]):
    """A page of data sets."""


class SamplePage(contracts.Page[DatasetSample]):
    """A page of images."""

    total: int = Field(description="number of matching images")


@router.get("")
def list_datasets(session: Reading, catalog: CatalogDep) -> DatasetPage:
    """Return every data set, with the state of its default variant."""
    return DatasetPage(items=[datasets.describe(session, catalog, entry) for entry in catalog.all(DatasetEntry)])


@router.get("/{key}", responses=responses(404, 422))
def get_dataset(key: DatasetKey, session: Reading, catalog: CatalogDep) -> Dataset:
    """Return one data set, with the state of each prepared variant."""
    return datasets.describe(session, catalog, datasets.find(catalog, key, "/path/key"))


@router.get("/{key}/samples", responses=responses(404, 409, 422))
def list_samples(
    key: DatasetKey,
    session: Reading,
    catalog: CatalogDep,
    store: StoreDep,
    request: Request,
    split: Annotated[Split, Query(description="split of the images")] = "test",
    index: Annotated[list[Index] | None, Query(max_length=200, description="only these images")] = None,
    label: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only images of this class")] = None,
    offset: Annotated[Index, Query(description="images to skip; ignored with a cursor")] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="items per page")] = 50,
    cursor: Cursor = None,
    data_seed: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="default: the data set's own")] = None,
    image_size: Annotated[
        int | None,
        Query(ge=1, le=4096, description="of a data set that is prepared in several sizes; default: its own"),
    ] = None,
) -> SamplePage:
    """Return images of a split as PNG data URLs: those with the given indices (repeat `index`), or a page of all."""
    entry = datasets.find(catalog, key, "/path/key")
    given = {"data_seed": data_seed, "image_size": image_size}
    asked = {name: value for name, value in given.items() if value is not None}
    params = datasets.complete_params(catalog, entry, asked, "/query")
    arrays = previews.dataset_arrays(session, store, request.app.state.samples, key, params)
    chosen = previews.chosen_indices(arrays, split, label, index)
    start = offset if cursor is None else cursors.decode(cursor, "offset")[0]
    # Images requested by index come on one page
    end = start + (limit if index is None else len(chosen))
    more = cursors.encode("offset", end, end) if end < len(chosen) else None
    return SamplePage(items=previews.samples(arrays, split, chosen[start:end]), total=len(chosen), next_cursor=more)


@router.post("/{key}/prepare", status_code=202, responses=responses(400, 404, 409, 413, 422))
def prepare_dataset(
    key: DatasetKey,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    idempotency: IdempotencyKey,
    response: Response,
    body: PrepareRequest | None = None,
) -> Task:
    """Queue the preparation, with the download if there is one; return its task."""
    entry = datasets.find(catalog, key, "/path/key")
    params = datasets.complete_params(catalog, entry, {} if body is None else body.params, "")

    def make(session: Session) -> int:
        return datasets.prepare(session, key, params, idempotency.caller)

    task_id = once(database, idempotency, {"prepare": [key, params]}, make).made
    return task_response(task_id, database, queue, response)


@router.delete("/{key}", responses=responses(404, 409, 422))
def remove_dataset(
    key: DatasetKey, database: DatabaseDep, catalog: CatalogDep, store: StoreDep, settings: SettingsDep
) -> Deleted:
    """Remove every prepared variant of a data set and its downloads, and a registered data set itself; return the bytes
    freed. Files that users placed in the data folder stay. 409 while work needs the data set."""
    datasets.find(catalog, key, "/path/key")
    return Deleted(bytes=dataset_removal.remove_dataset(database, store, settings.data_dir, key))
