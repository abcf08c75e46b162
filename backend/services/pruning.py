"""Delete rows that have reached their age, in transactions short enough that requests do not wait for them."""

from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.store import audit, events, idempotency, tasks, tokens, uploads

BATCH = 1000  # rows per transaction
DAY = 24 * 3600.0
EVENT_DAYS = 30  # of events, with their deliveries
TASK_DAYS = 7  # of finished preparations and registrations, and of maps that were not drawn
INSPECTION_DAYS = 1  # of inspected model files and previewed archives, deleted with their task, and of penalties
KEPT_UPLOADS = 2000  # of at most some hundred KB each

_UNSUCCESSFUL = (Status.FAILED, Status.CANCELLED)
_ENDED = (Status.SUCCEEDED, *_UNSUCCESSFUL)
_KEPT_TASKS = {
    TaskKind.PREPARE: _ENDED,
    TaskKind.REGISTER: _ENDED,
    TaskKind.IMPORT: _UNSUCCESSFUL,
    TaskKind.ATTRIBUTE: _UNSUCCESSFUL,
    TaskKind.DENSITY: _UNSUCCESSFUL,
}


def prune(database: Database, audit_days: int) -> int:
    """Delete everything that is old enough; return the number of rows.

    Args:
        database: to prune.
        audit_days: age of audit lines, and time since the revocation of tokens.
    """

    def older(days: float, forget: Callable[[Session, float, int], int]) -> int:
        return _batched(database, lambda session: forget(session, now(session) - days * DAY, BATCH))

    deleted = older(audit_days, audit.forget)
    deleted += older(audit_days, tokens.forget_revoked)
    deleted += older(EVENT_DAYS, events.forget)
    for kind, statuses in _KEPT_TASKS.items():
        deleted += older(TASK_DAYS, partial(tasks.forget_ended, kind=kind, statuses=statuses))
    for kind in (TaskKind.INSPECT, TaskKind.PREVIEW, TaskKind.PENALTIES):
        deleted += older(INSPECTION_DAYS, partial(tasks.forget_ended, kind=kind, statuses=_ENDED))
    deleted += _batched(database, lambda session: uploads.forget_oldest(session, KEPT_UPLOADS, BATCH))
    with database.write() as session:
        idempotency.forget(session)
    return deleted


def _batched(database: Database, forget: Callable[[Session], int]) -> int:
    total = 0
    while True:
        with database.write() as session:
            deleted = forget(session)
        total += deleted
        if deleted < BATCH:
            return total
