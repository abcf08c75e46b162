"""Deleting in two phases: mark (gone for every reader), then files, then rows. An interrupted one can be finished."""

from backend.shared.artifacts import ArtifactStore
from backend.shared.database import Database
from backend.shared.store import attributions, experiments, runs, tasks


class StillActive(RuntimeError):
    """Work on a run is queued or running; the message names it."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"run {run_id} is still at work; cancel it first, then delete it")


class Gone(LookupError):
    """There is no such run or experiment (any more)."""


def delete_run(database: Database, store: ArtifactStore, run_id: int) -> int:
    """Deletes a run with its files; returns the bytes freed. Raises Gone, StillActive."""
    with database.write() as session:
        if not runs.lock(session, run_id):
            raise Gone
        _refuse_active(tasks.active(session, run_id), run_id)
        runs.mark_deleting(session, run_id)
    return finish_run(database, store, run_id)


def delete_experiment(database: Database, store: ArtifactStore, experiment_id: int) -> int:
    """Deletes an experiment with all its runs; returns the bytes freed. Raises Gone, StillActive."""
    with database.write() as session:
        if not experiments.lock(session, experiment_id):
            raise Gone
        members = experiments.run_ids(session, experiment_id)
        for run_id in members:
            runs.lock(session, run_id)
            _refuse_active(tasks.active(session, run_id), run_id)
        for run_id in members:
            runs.mark_deleting(session, run_id)
        experiments.mark_deleting(session, experiment_id)
    freed = sum(finish_run(database, store, run_id) for run_id in members)
    with database.write() as session:
        experiments.remove(session, experiment_id)
    return freed


def finish_run(database: Database, store: ArtifactStore, run_id: int) -> int:
    """The second phase, for a run that is marked: files, then rows. Returns the bytes of the files."""
    files = f"runs/{run_id}"
    while True:
        try:
            freed = store.size_tree(files)
            store.delete_tree(files)
            break
        except FileNotFoundError:
            continue  # API and reconciler may be at the same files: what the other took is gone, see to the rest
    with database.write() as session:
        runs.remove(session, run_id)
    return freed


def finish_interrupted(database: Database, store: ArtifactStore) -> int:
    """Finishes every deletion that was begun; returns how many runs and experiments went."""
    with database.read() as session:
        begun_runs, begun_experiments = runs.deleting(session), experiments.deleting(session)
    for run_id in begun_runs:
        finish_run(database, store, run_id)
    for experiment_id in begun_experiments:
        with database.write() as session:
            experiments.remove(session, experiment_id)
    return len(begun_runs) + len(begun_experiments)


def shrink_cache(database: Database, store: ArtifactStore, budget: int) -> int:
    """Removes the attribution results used longest ago until the rest fits the budget in bytes; returns how many."""
    with database.read() as session:
        surplus = attributions.over_budget(session, budget)
    for attribution_id, location in surplus:
        # The row goes first: a row without its file would answer with an error, a file without a row is rubbish
        with database.write() as session:
            attributions.remove(session, attribution_id)
        if location is not None:
            store.delete(location)
    return len(surplus)


def _refuse_active(active: bool, run_id: int) -> None:
    if active:
        raise StillActive(run_id)
