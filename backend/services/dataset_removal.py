"""Remove a data set in two phases: mark it, so that no launch uses it, then remove files and rows."""

import shutil
from pathlib import Path

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import Conflict
from densitylab.backend.shared.store import datasets, registered_datasets


def remove_dataset(database: Database, store: ArtifactStore, data_dir: Path, key: str) -> int:
    """Remove every prepared variant of a data set and its downloads; return the bytes freed.

    Files that the user has placed in the data folder stay.

    Raises:
        Conflict: queued or running work needs the data set, or it is being prepared.
    """
    with database.write() as session:
        users = datasets.users(session, key)
        if users:
            raise Conflict(
                f"the data set {key!r} is needed by {', '.join(users[:3])}{' and others' * (len(users) > 3)}: "
                "wait, or cancel that first"
            )
        datasets.mark_removing(session, key)
    return finish(database, store, data_dir, key)


def finish(database: Database, store: ArtifactStore, data_dir: Path, key: str) -> int:
    """Remove the files, then the rows, of a data set that is marked; return the bytes of the files."""
    freed = store.size_tree(f"datasets/{key}")
    store.delete_tree(f"datasets/{key}")
    for folder in (datasets.prepared_root(data_dir, key), datasets.downloads_folder(data_dir, key)):
        freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    with database.write() as session:
        datasets.clear(session, key)
        registered_datasets.remove(session, key)
    return freed


def finish_interrupted(database: Database, store: ArtifactStore, data_dir: Path) -> int:
    """Finish every removal that was begun; return the number of data sets removed."""
    with database.read() as session:
        begun = datasets.removing(session)
    for key in begun:
        finish(database, store, data_dir, key)
    return len(begun)
