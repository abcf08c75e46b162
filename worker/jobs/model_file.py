"""A copy of an uploaded model file on this machine, for as long as it is read."""

import fcntl
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.jobs.context import Context


@dataclass(frozen=True)
class ModelFile:
    """An uploaded model file."""

    path: Path
    name: str  # the user's
    sha256: str
    bytes: int


@contextmanager
def local_copy(context: Context, location: str, name: str) -> Iterator[ModelFile]:
    """Copy the upload into the data folder. The copy is locked while it is used, see `data_leftovers`.

    Raises:
        BadModelFile: the upload is no longer there.
    """
    folder = context.settings.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{uuid.uuid4().hex}.model"
    try:
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                context.artifacts.read_to(location, path)
            except FileNotFoundError as error:
                raise BadModelFile("The uploaded file is no longer stored: upload it again.") from error
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield ModelFile(path, name, digest, path.stat().st_size)
    finally:
        path.unlink(missing_ok=True)
