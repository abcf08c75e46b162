"""Requests that come as a form with a file and JSON."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import UploadFile
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from densitylab.backend.api import exact_json
from densitylab.backend.services.idempotency import once
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import violations
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.store.idempotency import Key

R = TypeVar("R", bound=BaseModel)


def parse(model: type[R], text: str) -> R:
    """Return the request in the form's field `request`. Raises InvalidRequest."""
    exact_json.check(text.encode(), "/request")
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidRequest(violations(error, "/request")) from None


def task_of(
    file: UploadFile,
    location: str,
    store: ArtifactStore,
    database: Database,
    key: Key,
    request: dict[str, Any],
    make: Callable[[Session], int],
) -> int:
    """Store the file and make the task that reads it; return the task's id. Nothing is left where that is refused.

    Args:
        file: of the form.
        location: of the file in the store.
        store: the artifacts.
        database: for the task.
        key: of the request; the file belongs to what it is compared with.
        request: JSON that differs between different requests, besides the file.
        make: makes the task in a transaction that writes, and returns its id.
    """
    digest = hashlib.file_digest(file.file, "sha256").hexdigest() if key.value else ""  # type: ignore[arg-type]
    file.file.seek(0)
    store.write_from(location, file.file)
    try:
        task = once(database, key, {**request, "content": digest}, make)
    except InvalidRequest as invalid:
        store.delete(location)
        raise InvalidRequest(
            [error.model_copy(update={"pointer": f"/request{error.pointer}"}) for error in invalid.errors]
        ) from None
    except BaseException:
        store.delete(location)
        raise
    if task.repeated:
        store.delete(location)
    return task.made
