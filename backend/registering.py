"""Users' own images on their way to become a data set."""

import re
from typing import Any

from sqlalchemy.orm import Session

from backend.shared.catalog import UnknownKey, find
from backend.shared.contracts import ArchiveRequest, TaskKind
from backend.shared.store import registered, tasks


class KeyTaken(RuntimeError):
    """There is such a data set already, or one is being registered."""


def key_of(label: str) -> str:
    """The key that a label gives: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:64].strip("_")


def ask(session: Session, request: ArchiveRequest, upload: str | None = None) -> int:
    """Queues the registration; returns the task's id. Nothing is in the catalog before it has succeeded.

    Args:
        session: a transaction that writes.
        request: what was asked for; a RegisterRequest names the folder.
        upload: where an uploaded archive lies among the artifacts.

    Raises:
        KeyTaken: with what to do.
    """
    key = key_of(request.label)
    try:
        entry = find("dataset", key)
    except UnknownKey:
        entry = None
    if entry is not None or registered.exists(session, key):
        raise KeyTaken(f"there is a data set {key!r} already: choose another name, or remove it first")
    if registered.under_way(session, key) is not None:
        raise KeyTaken(f"a data set {key!r} is being registered just now: choose another name, or wait")
    payload: dict[str, Any] = {**request.model_dump(), "key": key, "upload": upload}
    return tasks.create(session, TaskKind.REGISTER, payload=payload).id
