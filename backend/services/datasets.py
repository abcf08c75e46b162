"""Data sets: their state, and their preparation."""

import json
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, UnknownKey
from densitylab.backend.shared.contracts import Attribute, Dataset, DatasetVariant, FieldError, ProblemType, TaskKind
from densitylab.backend.shared.errors import Conflict, InvalidRequest, NotFound
from densitylab.backend.shared.store import datasets, registered_datasets, tasks
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import DatasetRow


class NotPrepared(Conflict):
    """A data set that has to be prepared first; the response links to the preparation."""

    type = ProblemType.NOT_PREPARED

    def __init__(self, detail: str, key: str, pointer: str | None = None) -> None:
        super().__init__(detail, pointer, {"Link": f'</api/v1/datasets/{key}/prepare>; rel="prepare"'})


def find(catalog: Catalog, key: str, pointer: str) -> DatasetEntry:
    """Return the entry of a data set. Raises NotFound, at `pointer`."""
    try:
        return catalog.find(DatasetEntry, key)
    except UnknownKey:
        raise NotFound("data set", key, pointer) from None


def complete_params(catalog: Catalog, entry: DatasetEntry, params: dict[str, Any], at: str) -> dict[str, Any]:
    """Return the data set's parameters with defaults. Raises InvalidRequest."""
    errors: list[FieldError] = []
    _, completed = specs.complete_params(catalog, "dataset", entry.key, params, at, errors)
    if errors:
        raise InvalidRequest(errors)
    return completed


def describe(session: Session, catalog: Catalog, entry: DatasetEntry) -> Dataset:
    """Return the data set with the state of each prepared variant; its own fields are those of the default one."""
    default = complete_params(catalog, entry, {}, "")
    rows = {specs.dataset_hash(row.params): row for row in datasets.variants(session, entry.key)}
    row = rows.pop(specs.dataset_hash(default), None)
    variant = _variant(session, default, row)
    others = [_variant(session, other.params, other) for other in rows.values()]
    return Dataset(
        **variant.model_dump(exclude={"params"}),
        key=entry.key,
        label=entry.label,
        summary=entry.summary,
        embedded=entry.embedded,
        registered=entry.registered,
        owner=registered_datasets.owner(session, entry.key) if entry.registered else None,
        num_classes=entry.num_classes or 0,
        class_names=list(entry.class_names),
        channels=entry.channels or 0,
        image_size=entry.image_size or (0, 0),
        has_mask=entry.has_mask,
        has_groups=entry.has_groups,
        group_names=list(entry.group_names),
        attributes=[Attribute(name=item.name, values=list(item.values)) for item in entry.attributes],
        class_counts=row.class_counts if row else {},
        group_counts=row.group_counts if row else {},
        others=[other for other in others if other.status != "absent"],
        prepared_at=to_datetime(row.prepared_at) if row else None,
    )


def _variant(session: Session, params: dict[str, Any], row: DatasetRow | None) -> DatasetVariant:
    task = None if row is None or row.task_id is None else tasks.get(session, row.task_id)
    ready = row is not None and row.ready
    preparing = task is not None and not task.status.final
    return DatasetVariant(
        params=params,
        status="ready" if ready else "preparing" if preparing else "absent",
        bytes=row.bytes if row else None,
        sizes=row.sizes if row else {},
        data_hash=row.data_hash if row else None,
        task=task.id if task else None,
    )


def prepare(session: Session, key: str, params: dict[str, Any], owner: Caller | None = None) -> int:
    """Queue the preparation of a data set unless it is queued or running; return the task's id."""
    row = datasets.get(session, key, params)
    if row is not None and row.task_id is not None:
        task = tasks.get(session, row.task_id)
        if task is not None and not task.status.final:
            return task.id
    created = tasks.create(session, TaskKind.PREPARE, payload={"key": key, "params": params}, owner=owner)
    datasets.set_task(session, key, params, created.id)
    session.flush()
    return created.id


def ensure_prepared(session: Session, catalog: Catalog, key: str, params: dict[str, Any], pointer: str) -> None:
    """Queue the preparation of an embedded data set that is not ready. Raises NotPrepared for any other."""
    row = datasets.get(session, key, params)
    if row is not None and row.ready:
        return
    if not catalog.find(DatasetEntry, key).embedded:
        raise NotPrepared(
            f"the data set {key!r} is not prepared here yet with these parameters: POST /api/v1/datasets/{key}/prepare "
            f"with {json.dumps({'params': params})}, and launch again when its task has succeeded",
            key,
            pointer,
        )
    prepare(session, key, params)
