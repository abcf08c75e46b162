"""Delete rows that have reached their age, in transactions short enough that requests do not wait for them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import audit, events, idempotency, logs, tasks, tokens, uploads

BATCH = 1000  # rows per transaction
DAY = 24 * 3600.0
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


@dataclass(frozen=True, kw_only=True)
class Retention:
    """For how long rows are kept, in days, and how many bytes of maps."""

    audit_days: int = 365  # audit lines, and revoked tokens
    event_days: int = 30  # events, with their deliveries
    task_days: int = 7  # finished preparations and registrations, and maps that were not drawn
    log_days: int = 0  # lines of runs' logs; 0: until the run is deleted
    map_bytes: int = 2 * 2**30

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        return cls(
            audit_days=settings.audit_days,
            event_days=settings.event_days,
            task_days=settings.task_days,
            log_days=settings.log_days,
            map_bytes=settings.map_cache_mib * 2**20,
        )


def prune(database: Database, retention: Retention) -> int:
    """Delete everything that is old enough; return the number of rows."""

    def older(days: float, forget: Callable[[Session, float, int], int]) -> int:
        return _batched(database, lambda session: forget(session, now(session) - days * DAY, BATCH))

    deleted = older(retention.audit_days, audit.forget)
    deleted += older(retention.audit_days, tokens.forget_revoked)
    deleted += older(retention.event_days, events.forget)
    if retention.log_days:
        deleted += older(retention.log_days, logs.forget)
    for kind, statuses in _KEPT_TASKS.items():
        deleted += older(retention.task_days, partial(tasks.forget_ended, kind=kind, statuses=statuses))
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
