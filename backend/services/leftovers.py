"""Delete files of the artifact store that nothing refers to: a process was killed between the file and its row, a task
was cancelled, an upload was interrupted."""

import time

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import file_references, registered_datasets

SETTLED_SECONDS = 300.0  # age from which a file without a row will not get one any more
_BATCH = 100  # files, between which the rows are read again


def delete_archives(database: Database, store: ArtifactStore) -> int:
    """Delete the archives of registrations that have ended; return their number."""
    present = set(store.locations("archives"))
    if not present:
        return 0
    with database.read() as session:
        ended = present & registered_datasets.uploads(session, active=False)
    for location in ended:
        store.delete(location)
    return len(ended)


def delete_orphans(database: Database, store: ArtifactStore, settled_seconds: float = SETTLED_SECONDS) -> int:
    """Delete the files that no row refers to and that no queued or running task can refer to later; return their
    number. Files of other kinds than DensityLab's stay."""
    present = store.everything()
    with database.read() as session:
        references = file_references.read(session)
    latest = time.time() - settled_seconds
    orphans = [location for location in present if references.orphaned(location) and _written(store, location) < latest]
    deleted = 0
    for start in range(0, len(orphans), _BATCH):
        with database.read() as session:
            references = file_references.read(session)
        for location in filter(references.orphaned, orphans[start : start + _BATCH]):
            store.delete(location)
            deleted += 1
    return deleted


def _written(store: ArtifactStore, location: str) -> float:
    try:
        return store.modified(location)
    except FileNotFoundError:  # deleted meanwhile
        return float("inf")
