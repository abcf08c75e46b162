"""Register users' own images as a data set."""

import re
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import ArchiveRequest, TaskKind
from densitylab.backend.shared.errors import Conflict
from densitylab.backend.shared.store import registered_datasets, tasks


def key_of(label: str) -> str:
    """Return the key for a label: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:64].strip("_")


def request(session: Session, catalog: Catalog, body: ArchiveRequest, owner: Caller, upload: str | None = None) -> int:
    """Queue a registration; return the task's id. The catalog has the data set once the task has succeeded.

    Args:
        session: a transaction that writes.
        catalog: whose keys are taken.
        body: a RegisterRequest names the folder; an ArchiveRequest comes with an upload.
        owner: of the data set.
        upload: location of the uploaded archive among the artifacts.

    Raises:
        Conflict: a data set of that name exists or is being registered.
    """
    key = key_of(body.label)
    if key in catalog.by_kind["dataset"] or registered_datasets.exists(session, key):
        raise Conflict(f"there is a data set {key!r} already: choose another name, or remove it first", "/label")
    if registered_datasets.under_way(session, key) is not None:
        raise Conflict(f"a data set {key!r} is being registered just now: choose another name, or wait", "/label")
    payload: dict[str, Any] = {**body.model_dump(), "key": key, "upload": upload}
    return tasks.create(session, TaskKind.REGISTER, payload=payload, owner=owner).id
