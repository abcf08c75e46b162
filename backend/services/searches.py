"""Searches: launches whose next runs their results decide.

What comes next is a function of what is stored alone, so a search that is interrupted at any moment goes on as if it
had not been.
"""

from sqlalchemy.orm import Session

from densitylab.backend.services import bracket_searches, optuna_searches
from densitylab.backend.services.datasets import NotPrepared
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import OptunaSearch, SearchProgress, SearchStatus
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import InvalidRequest, NotFound, NotInstalled
from densitylab.backend.shared.store import completion, experiments, registered_datasets
from densitylab.backend.shared.store.experiments import StoredSearch


def advance(database: Database, catalog: Catalog, experiment_id: int) -> bool:
    """Launch what comes next in a search, or end it; return whether anything changed. The caller delivers the tasks.

    Args:
        catalog: of what is installed; the registered data sets are added to it.
    """
    with database.write() as session:
        if not experiments.lock(session, experiment_id):
            return False
        stored = experiments.search(session, experiment_id)
        if stored is None or stored.status != "running":
            return False
        catalog = registered_datasets.with_registered(session, catalog)
        try:
            ended = _take_step(session, catalog, experiment_id, stored)
        except (InvalidRequest, NotPrepared, NotInstalled) as refused:
            _end(session, experiment_id, "stopped", f"Its next runs were refused: {refused}")
            return True
        if ended:
            _end(session, experiment_id, "finished", ended)
        return ended is not None


def stop(session: Session, experiment_id: int) -> None:
    """End a search; its runs go on. Raises NotFound where there is none."""
    if not experiments.lock(session, experiment_id):
        raise NotFound("experiment", experiment_id, "/path/experiment_id")
    if _stored(session, experiment_id).status == "running":
        _end(session, experiment_id, "stopped", "It was stopped by request.")


def progress(session: Session, catalog: Catalog, experiment_id: int) -> SearchProgress:
    """Return what a search has tried and what comes next. Raises NotFound."""
    stored = _stored(session, experiment_id)
    if isinstance(stored.request, OptunaSearch):
        return optuna_searches.progress(session, stored.request, stored)
    return bracket_searches.progress(session, catalog, experiment_id, stored.request, stored)


def study_file(session: Session, experiment_id: int) -> bytes:
    """Return the study of a search with Optuna as an SQLite file.

    Raises:
        NotFound: the experiment has no such search.
        NotInstalled: Optuna is not installed.
    """
    stored = _stored(session, experiment_id)
    if not isinstance(stored.request, OptunaSearch):
        raise NotFound("Optuna study of experiment", experiment_id, "/path/experiment_id")
    return optuna_searches.study_file(session, experiment_id, stored.request, stored)


def _stored(session: Session, experiment_id: int) -> StoredSearch:
    stored = experiments.search(session, experiment_id)
    if stored is None:
        raise NotFound("search of experiment", experiment_id, "/path/experiment_id")
    return stored


def _take_step(session: Session, catalog: Catalog, experiment_id: int, stored: StoredSearch) -> str | None:
    """Return "" where runs were inserted; None where the search waits; else why it is finished."""
    if isinstance(stored.request, OptunaSearch):
        return optuna_searches.take_step(session, catalog, experiment_id, stored.request, stored)
    return bracket_searches.take_step(session, catalog, experiment_id, stored.request, stored)


def _end(session: Session, experiment_id: int, status: SearchStatus, reason: str) -> None:
    experiments.end_search(session, experiment_id, status, reason)
    completion.note_search_end(session, experiment_id)
