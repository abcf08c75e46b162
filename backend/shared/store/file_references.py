"""Which files of the artifact store the database refers to, and which may still be written."""

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.store import datasets, imports, registered_datasets, tasks
from densitylab.backend.shared.tables import ArtifactRow, AttributionRow, DatasetRow, TaskRow

# What DensityLab stores; the subject is what the file belongs to. A store may hold other files beside these
_KINDS = (
    re.compile(r"(?P<subject>archives/[0-9a-f]{32}\.zip)"),
    re.compile(r"(?P<subject>models/[0-9a-f]{32})"),
    re.compile(r"models/(?P<subject>\d+-\d+)\.sha256-[0-9a-f]{64}\.pt"),
    re.compile(r"(?P<subject>runs/\d+)/(checkpoints|evaluations|exports)/[^/]+"),
    re.compile(r"(?P<subject>datasets/[a-z0-9_]+)/[0-9a-f]{16}/.+"),
    re.compile(r"attributions/\.?(?P<subject>\d+)-[^/]+"),
)


@dataclass(frozen=True)
class FileReferences:
    """The files that rows name, and the subjects of work that may write further ones.

    Args:
        locations: files that a row names.
        folders: folders of which every file is in use.
        active: subjects of queued and running tasks.
    """

    locations: frozenset[str]
    folders: frozenset[str]
    active: frozenset[str]

    def orphaned(self, location: str) -> bool:
        """Return whether the file is DensityLab's and nothing needs it."""
        subject = subject_of(location)
        return not (
            subject is None
            or subject in self.active
            or location in self.locations
            or "/".join(location.split("/")[:4]) in self.folders
        )


def subject_of(location: str) -> str | None:
    """Return what a file belongs to: a run, a data set, the number of maps, an upload; None if it is not of here."""
    return next((match["subject"] for kind in _KINDS if (match := kind.fullmatch(location))), None)


def read(session: Session) -> FileReferences:
    """Return the references of all rows. List the files first: a file may get its row in between."""
    ready = session.scalars(select(DatasetRow).where(DatasetRow.ready)).all()
    locations = {
        *session.scalars(select(ArtifactRow.location)),
        *session.scalars(select(AttributionRow.location).where(AttributionRow.location.is_not(None))),
        *(row.samples_location for row in ready if row.samples_location),
    }
    return FileReferences(
        frozenset(locations),
        frozenset(datasets.shared_copy(row.key, row.params) for row in ready),
        frozenset(_active(session)),
    )


def _active(session: Session) -> set[str]:
    subjects = registered_datasets.uploads(session, active=True) | imports.uploads(session)
    queued_or_running = TaskRow.status.in_(tasks.ACTIVE)
    for run_id in session.scalars(select(TaskRow.run_id).where(queued_or_running, TaskRow.run_id.is_not(None))):
        subjects.add(f"runs/{run_id}")
    for number in session.scalars(
        select(AttributionRow.id).join(TaskRow, AttributionRow.task_id == TaskRow.id).where(queued_or_running)
    ):
        subjects.add(str(number))
    for payload in session.scalars(select(TaskRow.payload).where(queued_or_running, TaskRow.kind == TaskKind.REGISTER)):
        subjects.add(f"datasets/{payload['key']}")
    importing = select(TaskRow.id, TaskRow.token).where(queued_or_running, TaskRow.kind == TaskKind.IMPORT)
    subjects.update(f"{row.id}-{row.token}" for row in session.execute(importing))
    for key in session.scalars(select(DatasetRow.key).distinct()):
        if datasets.users(session, key):
            subjects.add(f"datasets/{key}")
    return subjects
