"""Runs a task from its claim to its end, for every kind of job."""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import OperationalError

from densitylab.backend.shared import log_format, tracing
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.disk_full import full_disk
from densitylab.backend.shared.store import logs
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker.errors import Interrupted
from densitylab.worker.jobs import failures
from densitylab.worker.jobs.context import Context, opened
from densitylab.worker.jobs.job_span import job_span
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.runtime.room import wait_for_room

_LONGEST_WAIT_SECONDS = 60.0  # after an attempt that took as long, although there seems to be room

_log = logging.getLogger(__name__)

Work = Callable[[Context, Lease], None]


def run_task(task_id: int, work: Work) -> None:
    """Claim the task, do the work and finish the task.

    Args:
        task_id: of a queued task; nothing happens if another worker has it or it has ended.
        work: stores its result and finishes the task in one transaction of `lease.writing`. It raises Interrupted if
            `lease.should_stop()`, and any other exception if it fails.
    """
    reset_token = log_format.log_context.set({"task": task_id})
    try:
        _run(task_id, work)
    finally:
        log_format.log_context.reset(reset_token)


def _run(task_id: int, work: Work) -> None:
    try:
        with opened() as context:
            lease = Lease.claim(context.database, task_id)
            if lease is None:
                _log.info("task %d can't be claimed: it was delivered twice, or has ended", task_id)
                return
            if lease.task.run_id is not None:
                log_format.log_context.set({"run": lease.task.run_id, "task": task_id})
            with job_span(lease.task):
                _work(context, lease, work)
    except LeaseLost as lost:
        _log.warning("%s; the result of this process is discarded", lost)
    except OperationalError as error:
        # the lease expires, and another attempt continues from the checkpoint once the database is back
        _log.warning("task %d is abandoned, since the database does not answer: %s", task_id, error.orig)


def _work(context: Context, lease: Lease, work: Work) -> None:
    began = time.monotonic()
    try:
        with lease:
            try:
                work(context, lease)
            except (OSError, OperationalError) as error:
                full = full_disk(error, _folders(context))
                if full is None:
                    raise
                taken = time.monotonic() - began
                wait_for_room(lease, full, least_seconds=min(taken, _LONGEST_WAIT_SECONDS))
                raise Interrupted("there is room again, so the task is delivered again") from error
    except (LeaseLost, OperationalError):
        raise
    except Exception as error:
        end(lease, error)


def end(lease: Lease, error: Exception) -> None:
    """End a task as the error says: it is cancelled or given back if it was asked to stop, else it has failed."""
    if not isinstance(error, Interrupted):
        _fail(lease, error)
    elif lease.cancelled:
        with lease.writing() as session:
            lease.finish(session, Status.CANCELLED)
    else:
        lease.release()


def _folders(context: Context) -> dict[str, Path]:
    return {"data folder": context.settings.data_dir, "temporary folder": Path(tempfile.gettempdir())}


def _fail(lease: Lease, error: Exception) -> None:
    task = lease.task
    _log.error("task %d (%s) failed", task.task_id, task.kind, exc_info=error)
    tracing.note_failure(error)
    reason = failures.sentence(error)
    with lease.writing() as session:
        if task.run_id is not None:
            at = time.time()
            lines = [*failures.last_lines(error), f"{task.kind} failed: {reason}"]
            logs.append(session, task.run_id, [(at, "error", line) for line in lines])
        lease.finish(session, Status.FAILED, reason)
