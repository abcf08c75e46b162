"""List files that no row refers to, and rows whose files are missing: `python -m benchmarks.orphans`.

It reads the settings of a system from DENSITYLAB_*. What queued and running tasks may still write or delete does not
count, so a system that is at rest shows what was lost or left over. Exits with 1 if there is anything.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, experiments, file_references, registered_datasets, runs, tasks
from densitylab.backend.shared.tables import (
    ArtifactRow,
    AttributionRow,
    DatasetRow,
    RegisteredRow,
    TaskRow,
)


@dataclass(frozen=True)
class Report:
    """What does not belong together.

    Args:
        files: paths below the artifact store or the data folder that no row refers to.
        rows: sentences about rows whose files, or whose counterparts, are missing.
    """

    files: list[str]
    rows: list[str]

    def __bool__(self) -> bool:
        return bool(self.files or self.rows)

    def __str__(self) -> str:
        return "\n".join([f"file without a row: {file}" for file in self.files] + self.rows)


def orphans(settings: Settings) -> Report:
    """Compare the files of a system with its rows; list the files before reading the rows, as the reconciler does."""
    database, store = Database(settings.database_url), ArtifactStore(settings.artifacts_url)
    stored, local = set(store.everything()), sorted(_data_files(settings.data_dir))
    with database.read() as session:
        references = file_references.read(session)
        files = [
            f"artifacts/{location}"
            for location in sorted(stored)
            if references.orphaned(location)
            or (file_references.subject_of(location) is None and location not in references.locations)
        ]
        known = _known_data(session)
        files += [
            f"data/{path}" for path in local if not any(path == item or path.startswith(f"{item}/") for item in known)
        ]
        rows = [*_missing_files(session, store, stored, settings.data_dir), *_unfinished(session)]
    database.close()
    return Report(files, rows)


def _data_files(data_dir: Path) -> Iterator[str]:
    """Yield the files that DensityLab made in the data folder; those that users placed there are elsewhere."""
    for folder in ("prepared", "downloads"):
        for file in (data_dir / folder).rglob("*"):
            if file.is_file():
                yield file.relative_to(data_dir).as_posix()
    yield from (file.name for file in data_dir.glob(".*.zip"))


def _known_data(session: Session) -> set[str]:
    """Return files and folders of the data folder that are in use."""
    known = set()
    for row in session.scalars(select(DatasetRow)):
        if row.ready:
            known |= {f"downloads/{row.key}", datasets.prepared_folder(Path(), row.key, row.params).as_posix()}
        if datasets.users(session, row.key):
            known |= {f"downloads/{row.key}", f"prepared/{row.key}"}
    payloads = session.scalars(
        select(TaskRow.payload).where(TaskRow.kind == TaskKind.REGISTER, TaskRow.status.in_(tasks.ACTIVE))
    )
    known |= {f"prepared/{payload['key']}" for payload in payloads}
    known |= {f".{Path(location).name}" for location in registered_datasets.uploads(session, active=True)}
    return known


def _missing_files(session: Session, store: ArtifactStore, stored: set[str], data_dir: Path) -> Iterator[str]:
    for row in session.scalars(select(ArtifactRow)):
        if row.location not in stored:
            yield f"run {row.run_id} has no file {row.location} for {row.name}"
    for attribution in session.scalars(select(AttributionRow).where(AttributionRow.location.is_not(None))):
        if attribution.location not in stored:
            yield f"attribution {attribution.id} has no file {attribution.location}"
    for dataset in session.scalars(select(DatasetRow).where(DatasetRow.ready)):
        if dataset.samples_location not in stored:
            yield f"data set {dataset.key} has no file {dataset.samples_location}"
        folder = datasets.prepared_folder(data_dir, dataset.key, dataset.params)
        if not store.shared and not (folder / "manifest.json").exists():
            yield f"data set {dataset.key} has no prepared files"
    for location in registered_datasets.uploads(session, active=True) - stored:
        yield f"a registration has no file {location}"


def _unfinished(session: Session) -> Iterator[str]:
    drawing = select(TaskRow.id).where(TaskRow.kind.in_((TaskKind.ATTRIBUTE, TaskKind.DENSITY)))
    for task_id in session.scalars(drawing.where(TaskRow.id.not_in(select(AttributionRow.task_id)))):
        yield f"task {task_id} draws maps that nobody asked for"
    ready = select(DatasetRow.key).where(DatasetRow.ready)
    for key in session.scalars(select(RegisteredRow.key).where(RegisteredRow.key.not_in(ready))):
        yield f"data set {key} is registered but not ready"
    yield from (f"the deletion of run {run_id} is not finished" for run_id in runs.deleting(session))
    yield from (f"the deletion of experiment {number} is not finished" for number in experiments.deleting(session))
    yield from (f"the removal of data set {key} is not finished" for key in datasets.removing(session))


if __name__ == "__main__":
    report = orphans(Settings())
    print(report or "every file has a row, and every row its files")
    sys.exit(1 if report else 0)
