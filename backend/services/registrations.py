"""Register users' own images as a data set, and preview that."""

import re
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import ArchiveRequest, PreviewArchiveRequest, TaskKind
from densitylab.backend.shared.errors import Conflict, InvalidField, NotFound
from densitylab.backend.shared.store import registered_datasets, registration_previews, tasks


def key_of(label: str) -> str:
    """Return the key for a label: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:64].strip("_")


def request(session: Session, catalog: Catalog, body: ArchiveRequest, owner: Caller, upload: str | None = None) -> int:
    """Queue a registration; return the task's id. The catalog has the data set once the task has succeeded.

    Args:
        session: a transaction that writes.
        catalog: whose keys are taken.
        body: a RegisterRequest names the images; an ArchiveRequest comes with an upload.
        owner: of the data set.
        upload: location of the uploaded archive among the artifacts.

    Raises:
        Conflict: a data set of that name exists or is being registered.
        InvalidField: the request does not name one source.
        NotFound: there is no such preview with an archive.
    """
    key = key_of(body.label)
    if key in catalog.by_kind["dataset"] or registered_datasets.exists(session, key):
        raise Conflict(f"there is a data set {key!r} already: choose another name, or remove it first", "/label")
    if registered_datasets.under_way(session, key) is not None:
        raise Conflict(f"a data set {key!r} is being registered just now: choose another name, or wait", "/label")
    payload = {**_payload(session, body, upload), "key": key}
    return tasks.create(session, TaskKind.REGISTER, payload=payload, owner=owner).id


def preview(session: Session, body: PreviewArchiveRequest, owner: Caller, upload: str | None = None) -> int:
    """Queue a preview; return the task's id.

    Args:
        session: a transaction that writes.
        body: a PreviewRequest names the images; a PreviewArchiveRequest comes with an upload.
        owner: of the task.
        upload: location of the uploaded archive among the artifacts.

    Raises InvalidField and NotFound as `request` does.
    """
    return tasks.create(session, TaskKind.PREVIEW, payload=_payload(session, body, upload), owner=owner).id


def _payload(session: Session, body: PreviewArchiveRequest, upload: str | None) -> dict[str, Any]:
    """Return what the worker needs to read the images."""
    payload: dict[str, Any] = {"path": None, "preview": None, "hub": None, **body.model_dump(), "upload": upload}
    if upload is not None:
        return payload
    given = [name for name in ("path", "preview", "hub") if payload[name] is not None]
    if len(given) != 1:
        wrong = f"/{given[1]}" if given else "/path"
        raise InvalidField(
            f"expected one of path, preview and hub, where the images are; got {' and '.join(given) or 'none'}", wrong
        )
    if payload["preview"] is not None:
        payload["upload"] = registration_previews.upload(session, payload["preview"])
        if payload["upload"] is None:
            raise NotFound("preview of an uploaded archive", payload["preview"], "/preview")
    return payload
