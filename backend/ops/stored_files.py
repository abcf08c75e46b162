"""The files that a database refers to and nothing can make again: what a backup contains and a restore requires.

Data sets that are not registered are prepared again, with the same content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, tasks
from densitylab.backend.shared.tables import ArtifactRow, AttributionRow, DatasetRow, RegisteredRow, TaskRow

MANIFEST = "manifest.json"  # of a prepared data set


class Manifest(BaseModel):
    """The part of a prepared data set's manifest by which its files are known."""

    data_hash: str
    sizes: dict[str, int]  # images per split
    files: dict[str, str] = Field(default_factory=dict)  # hashes by name; empty if made by an older version

    def names(self) -> set[str]:
        """Return the names of files that cannot be absent."""
        return set(self.files) or {f"{split}/{array}.npy" for split in self.sizes for array in ("images", "labels")}


@dataclass(frozen=True)
class RegisteredImages:
    """The prepared images of a registered data set."""

    key: str
    params_hash: str
    params: dict[str, Any]
    data_hash: str

    def places(self, settings: Settings) -> list[tuple[ArtifactStore, str]]:
        """Return where they may be, as a store and a location: the store that hosts share first, then the data
        folder."""
        folder = datasets.prepared_folder(settings.data_dir, self.key, self.params)
        return [
            (ArtifactStore(settings.artifacts_url), datasets.shared_copy(self.key, self.params)),
            (ArtifactStore(str(settings.data_dir)), folder.relative_to(settings.data_dir).as_posix()),
        ]


def locations(connection: Connection) -> Iterator[str]:
    """Yield locations among the artifacts: those of runs first, and of these the newest, since a training replaces its
    checkpoint every few seconds."""
    yield from connection.scalars(select(ArtifactRow.location).order_by(ArtifactRow.created_at.desc()))
    for column in (AttributionRow.location, DatasetRow.samples_location):
        yield from (location for location in connection.scalars(select(column)) if location is not None)
    uploading = (TaskKind.REGISTER, TaskKind.PREVIEW, TaskKind.INSPECT, TaskKind.IMPORT)
    waiting = select(TaskRow.payload).where(TaskRow.kind.in_(uploading), TaskRow.status.in_(tasks.ACTIVE))
    yield from (payload["upload"] for payload in connection.scalars(waiting) if payload["upload"] is not None)


def registered_images(connection: Connection) -> list[RegisteredImages]:
    """Return the images of every registered data set that is not being removed."""
    ready = (
        select(DatasetRow.key, DatasetRow.params_hash, DatasetRow.params, DatasetRow.data_hash)
        .join(RegisteredRow, RegisteredRow.key == DatasetRow.key)
        .where(DatasetRow.ready)
        .order_by(DatasetRow.key)
    )
    return [RegisteredImages(row.key, row.params_hash, row.params, row.data_hash) for row in connection.execute(ready)]
