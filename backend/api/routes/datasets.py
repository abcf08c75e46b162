"""Data sets and their images."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session

from backend import launching, removing
from backend.api import cursors, samples
from backend.api.accepted import accepted
from backend.api.dependencies import Cursor, DatabaseDep, QueueDep, Reading, RegisteredKnown, SettingsDep, StoreDep
from backend.api.problems import conflict, not_found, responses
from backend.shared import contracts, specs
from backend.shared.catalog import Entry, UnknownKey, find, offered
from backend.shared.contracts import (
    Dataset,
    DatasetForm,
    DatasetSample,
    Deleted,
    FieldError,
    PrepareRequest,
    Split,
    Task,
)
from backend.shared.store import datasets, tasks
from backend.shared.store.times import moment
from backend.shared.tables import DatasetRow

router = APIRouter(prefix="/datasets", tags=["datasets"], dependencies=[RegisteredKnown])
DatasetKey = Annotated[str, Path(pattern=r"^[a-z0-9_]+$", max_length=64)]
Index = Annotated[int, Query(ge=0, le=2**31 - 1)]


class DatasetPage(contracts.Page):
    items: list[Dataset]


class SamplePage(contracts.Page):
    items: list[DatasetSample]
    total: int  # images that the filters leave


@router.get("")
def list_datasets(session: Reading) -> DatasetPage:
    """Every data set of the catalog, in the form that its default parameters give."""
    return DatasetPage(items=[_answer(session, entry) for entry in offered("dataset")])


@router.get("/{key}", responses=responses(404, 422))
def get_dataset(key: DatasetKey, session: Reading) -> Dataset:
    return _answer(session, _entry(key))


@router.get("/{key}/samples", responses=responses(404, 409, 422))
def list_samples(
    key: DatasetKey, session: Reading, store: StoreDep, request: Request,
    split: Split = "test",
    index: Annotated[list[Index] | None, Query(max_length=200, description="exactly these images")] = None,
    label: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="of this class only")] = None,
    offset: Index = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="items a page")] = 50,
    cursor: Cursor = None,
    data_seed: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="default: the data set's own")] = None,
) -> SamplePage:
    """Images of a split as PNG data URLs: the ones with the given indices (`index` repeated), or a page of them
    from `offset` or `cursor` on."""
    params = _params(_entry(key), {} if data_seed is None else {"data_seed": data_seed}, "/query")
    row = datasets.get(session, key, params)
    if row is None or not row.ready or row.samples_location is None:
        raise not_ready(key)
    try:
        arrays = request.app.state.samples.arrays(store, row.samples_location)
    except FileNotFoundError:
        raise not_ready(key) from None
    chosen = samples.of_label(arrays, split, label)
    if index is not None:
        size = len(samples.of_label(arrays, split, None))
        errors = [
            FieldError(pointer=f"/query/index/{position}", detail=f"expected 0 to {size - 1}, the {split} images")
            for position, number in enumerate(index) if number >= size
        ]
        if errors:
            raise specs.InvalidRequest(errors)
        wanted = set(chosen)
        chosen = [number for number in index if number in wanted]
    start = offset if cursor is None else cursors.decode(cursor, "offset")[0]
    # Asked for by index, all of them come at once
    end = start + (limit if index is None else len(chosen))
    more = cursors.encode("offset", end, end) if end < len(chosen) else None
    return SamplePage(items=samples.samples(arrays, split, chosen[start:end]), total=len(chosen), next_cursor=more)


@router.post("/{key}/prepare", status_code=202, responses=responses(400, 404, 413, 422))
def prepare_dataset(
    key: DatasetKey, database: DatabaseDep, queue: QueueDep, response: Response, body: PrepareRequest | None = None
) -> Task:
    """Queues the preparation (and the download, where there is one); answers the task that does it."""
    params = _params(_entry(key), {} if body is None else body.params, "")
    with database.write() as session:
        task_id = launching.prepare(session, key, params)
    return accepted(task_id, database, queue, response)


@router.delete("/{key}", responses=responses(404, 409, 422))
def remove_dataset(key: DatasetKey, database: DatabaseDep, store: StoreDep, settings: SettingsDep) -> Deleted:
    """Removes every prepared form of a data set, what was downloaded for it, and a registered one altogether; says
    how many bytes that freed. Files that users placed in the data folder stay. 409 while work needs the data set."""
    _entry(key)
    try:
        return Deleted(bytes=removing.remove_dataset(database, store, settings.data_dir, key))
    except removing.InUse as used:
        raise conflict(str(used)) from None


def not_ready(key: str) -> Exception:
    """409 with the link that prepares the data set."""
    return conflict(
        f"the data set {key!r} is not prepared here yet: POST /api/v1/datasets/{key}/prepare, and try again when its "
        "task has succeeded",
        headers={"Link": f'</api/v1/datasets/{key}/prepare>; rel="prepare"'},
    )


def _entry(key: str) -> Entry:
    try:
        return find("dataset", key)
    except UnknownKey:
        raise not_found("data set", key, "/path/key") from None


def _params(entry: Entry, given: dict[str, Any], at: str) -> dict[str, Any]:
    """The data set's parameters with defaults. Raises InvalidRequest."""
    errors: list[FieldError] = []
    _, params = specs.complete_params("dataset", entry.key, given, at, errors)
    if errors:
        raise specs.InvalidRequest(errors)
    return params


def _answer(session: Session, entry: Entry) -> Dataset:
    default = _params(entry, {}, "")
    rows = {specs.content_hash(row.params): row for row in datasets.forms(session, entry.key)}
    row = rows.pop(specs.content_hash(default), None)
    form = _form(session, default, row)
    others = [_form(session, other.params, other) for other in rows.values()]
    return Dataset(
        **form.model_dump(exclude={"params"}), key=entry.key, label=entry.label, summary=entry.summary,
        embedded=entry.embedded, registered=entry.registered, num_classes=entry.num_classes or 0,
        class_names=list(entry.class_names), channels=entry.channels or 0, image_size=entry.image_size or (0, 0),
        has_mask=entry.has_mask, has_groups=entry.has_groups, group_names=list(entry.group_names),
        class_counts=row.class_counts if row else {}, group_counts=row.group_counts if row else {},
        others=[other for other in others if other.status != "absent"],
        prepared_at=moment(row.prepared_at) if row else None,
    )


def _form(session: Session, params: dict[str, Any], row: DatasetRow | None) -> DatasetForm:
    task = None if row is None or row.task_id is None else tasks.get(session, row.task_id)
    ready = row is not None and row.ready
    preparing = task is not None and not task.status.final
    return DatasetForm(
        params=params, status="ready" if ready else "preparing" if preparing else "absent",
        bytes=row.bytes if row else None, sizes=row.sizes if row else {}, data_hash=row.data_hash if row else None,
        task=task.id if task else None,
    )
