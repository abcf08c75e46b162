"""Delete runs and experiments in two phases: mark them, which hides them from every reader, then remove files and rows.
The reconciler finishes a deletion that was interrupted between the two."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from densitylab.backend.services.runs import not_found
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import Conflict, NotFound
from densitylab.backend.shared.store import attributions, experiments, lineage, metrics, runs, tasks

_POINTS = 10_000  # deleted in one transaction


def delete_run(
    database: Database, store: ArtifactStore, run_id: int, check: Callable[[Session], None] = lambda _: None
) -> int:
    """Delete a run with its files; return the bytes freed. `check` is called while the run is locked, and may refuse.
    Raises NotFound, and Conflict while it is active."""
    with database.write() as session:
        if not runs.lock(session, run_id):
            raise not_found(run_id)
        check(session)
        require_inactive(session, run_id)
        runs.mark_deleting(session, run_id)
    return finish_run(database, store, run_id)


def delete_experiment(
    database: Database, store: ArtifactStore, experiment_id: int, check: Callable[[Session], None] = lambda _: None
) -> int:
    """Delete an experiment with all its runs; return the bytes freed. `check` is called while the experiment is locked,
    and may refuse. Raises NotFound, and Conflict while a run is active."""
    with database.write() as session:
        if not experiments.lock(session, experiment_id):
            raise NotFound("experiment", experiment_id, "/path/experiment_id")
        check(session)
        members = experiments.run_ids(session, experiment_id)
        for run_id in members:
            runs.lock(session, run_id)
            require_inactive(session, run_id)
        for run_id in members:
            runs.mark_deleting(session, run_id)
        experiments.mark_deleting(session, experiment_id)
    freed = sum(finish_run(database, store, run_id) for run_id in members)
    with database.write() as session:
        experiments.remove(session, experiment_id)
    return freed


def require_inactive(session: Session, run_id: int) -> None:
    """Raise Conflict while tasks of the run are queued or running, or trainings that start from it."""
    if tasks.active(session, run_id):
        raise Conflict(f"run {run_id} is queued or running; cancel it first, then delete it")
    if dependents := lineage.active_children(session, run_id):
        raise Conflict(
            f"run {dependents[0]}, which starts from run {run_id}, is queued or running: cancel it first, or wait for "
            "its end"
        )


def finish_run(database: Database, store: ArtifactStore, run_id: int) -> int:
    """Remove the files, then the rows, of a run that is marked; return the bytes of the files."""
    files = f"runs/{run_id}"
    while True:
        try:
            freed = store.size_tree(files)
            store.delete_tree(files)
            break
        except FileNotFoundError:
            continue  # the API and the reconciler may delete the same files at once: go on with the remaining ones
    # Not with the run in one transaction: others would wait for the deletion of a million points
    while True:
        with database.write() as session:
            if metrics.delete_some(session, run_id, _POINTS) < _POINTS:
                runs.remove(session, run_id)
                return freed


def finish_interrupted(database: Database, store: ArtifactStore) -> int:
    """Finish every deletion that was begun; return the number of runs and experiments removed."""
    with database.read() as session:
        begun_runs, begun_experiments = runs.deleting(session), experiments.deleting(session)
    for run_id in begun_runs:
        finish_run(database, store, run_id)
    for experiment_id in begun_experiments:
        with database.write() as session:
            experiments.remove(session, experiment_id)
    return len(begun_runs) + len(begun_experiments)


def shrink_cache(database: Database, store: ArtifactStore, budget: int) -> int:
    """Remove the least recently used maps until the rest fits the budget in bytes; return the number removed."""
    with database.read() as session:
        surplus = attributions.over_budget(session, budget)
    for attribution_id, location in surplus:
        # The row first: a row without its file would answer with an error, a file without a row is an orphaned file
        with database.write() as session:
            attributions.remove(session, attribution_id)
        if location is not None:
            store.delete(location)
    return len(surplus)
