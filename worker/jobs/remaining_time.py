"""Estimated time of a training that waits in the queue."""

import logging
from statistics import median

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from densitylab.backend.shared.catalog import Catalog, UnknownKey
from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import registered_datasets, runs, tasks, throughput

_log = logging.getLogger(__name__)


def remaining_seconds(database_url: str, catalog: Catalog, task_id: int) -> float | None:
    """Return the seconds that the training of a task still takes from its checkpoint on; None where it is not known.

    It is the number of images by the run's own speed in an earlier attempt, or by the median speed of finished runs of
    the same data, model, regularizer, batch size, precision and device.
    """
    database = Database(database_url)
    try:
        with database.read() as session:
            task = tasks.get(session, task_id)
            run = None if task is None or task.run is None else runs.get(session, task.run)
            return (
                None if run is None else _seconds(session, registered_datasets.with_registered(session, catalog), run)
            )
    except SQLAlchemyError as error:
        _log.warning("the time of task %d is not known: %s", task_id, str(getattr(error, "orig", error)).strip())
        return None
    finally:
        database.close()  # no connection survives the fork of a job


def _seconds(session: Session, catalog: Catalog, run: Run) -> float | None:
    spec = run.spec
    if run.checkpoint_step is None and spec.init_from is not None and spec.init_from.mode == "continue":
        return None  # it begins where another run has ended
    try:
        size = catalog.dataset(spec.dataset.key, spec.dataset.params).train_size
    except UnknownKey:
        return None
    if size is None:
        return None
    images = size if spec.train_samples is None else min(size, spec.train_samples)
    rates = [
        rate
        for batch, rate in throughput.similar_run_throughput(session, spec)
        if batch == min(spec.batch_size, images)
    ]
    rate = run.metrics.get("throughput") or (median(rates) if rates else None)
    return None if rate is None else (1 - run.progress) * spec.epochs * images / rate
