"""Removing a data set in two phases: mark (no launch takes it any more), then files, then rows."""

import shutil
from pathlib import Path

from backend.shared.artifacts import ArtifactStore
from backend.shared.database import Database
from backend.shared.store import datasets, registered


class InUse(RuntimeError):
    """Work needs the data set; the message names it."""


def remove_dataset(database: Database, store: ArtifactStore, data_dir: Path, key: str) -> int:
    """Removes every prepared form of a data set and what was downloaded for it; returns the bytes freed.

    What the user has placed in the data folder stays.

    Raises:
        InUse: queued or running work needs it, or it is being prepared.
    """
    with database.write() as session:
        users = datasets.users(session, key)
        if users:
            raise InUse(f"the data set {key!r} is needed by {', '.join(users[:3])}{' and others' * (len(users) > 3)}: "
                        "wait, or cancel that first")
        datasets.mark_removing(session, key)
    return finish(database, store, data_dir, key)


def finish(database: Database, store: ArtifactStore, data_dir: Path, key: str) -> int:
    """The second phase, for a data set that is marked. Returns the bytes of the files."""
    freed = store.size_tree(f"datasets/{key}")
    store.delete_tree(f"datasets/{key}")
    for folder in (datasets.prepared_root(data_dir, key), datasets.downloads_folder(data_dir, key)):
        freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    with database.write() as session:
        datasets.clear(session, key)
        registered.remove(session, key)
    return freed


def finish_interrupted(database: Database, store: ArtifactStore, data_dir: Path) -> int:
    """Finishes every removal that was begun; returns how many."""
    with database.read() as session:
        begun = datasets.removing(session)
    for key in begun:
        finish(database, store, data_dir, key)
    return len(begun)
