"""From a task's id to its end: what is the same for every kind of job."""

import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from backend.shared import log_lines
from backend.shared.contracts import Status
from backend.shared.store import logs
from backend.shared.store.tasks import LeaseLost
from worker.jobs import failures
from worker.jobs.context import Context, opened
from worker.lease import Lease
from worker.stopped import Stopped

_log = logging.getLogger(__name__)

Work = Callable[[Context, Lease], None]


def run_task(task_id: int, work: Work) -> None:
    """Claims the task, does the work and sees to its end.

    Args:
        task_id: of a queued task; one that another worker has, or that has ended, is left alone.
        work: stores its result and finishes the task in one transaction of `lease.writing`. It raises Stopped when
            `lease.should_stop()`, and any other exception when it failed.
    """
    held = log_lines.subject.set({"task": task_id})
    try:
        _run(task_id, work)
    finally:
        log_lines.subject.reset(held)


def _run(task_id: int, work: Work) -> None:
    with opened() as context:
        lease = Lease.claim(context.database, task_id)
        if lease is None:
            _log.info("task %d is not to be claimed: delivered twice, or ended", task_id)
            return
        if lease.held.run_id is not None:
            log_lines.subject.set({"run": lease.held.run_id, "task": task_id})
        try:
            with lease:
                work(context, lease)
        except LeaseLost as lost:
            _log.warning("%s; what this process computed is dropped", lost)
        except Stopped:
            _give_up(lease)
        except OperationalError as error:
            # Nobody's fault but the database's, which may be back by now: the lease runs out, and another attempt
            # goes on from the checkpoint
            _log.warning("task %d is left, since the database does not answer: %s", task_id, error.orig)
        except Exception as error:
            _fail(lease, error)


def _give_up(lease: Lease) -> None:
    try:
        if lease.cancelled:
            with lease.writing() as session:
                lease.finish(session, Status.CANCELLED)
        else:
            lease.release()
    except LeaseLost as lost:
        _log.warning("%s", lost)


def _fail(lease: Lease, error: Exception) -> None:
    task = lease.held
    _log.error("task %d (%s) failed", task.task_id, task.kind, exc_info=error)
    reason = failures.sentence(error)
    try:
        with lease.writing() as session:
            if task.run_id is not None:
                at = time.time()
                lines = [*failures.last_lines(error), f"{task.kind} failed: {reason}"]
                logs.append(session, task.run_id, [(at, "error", line) for line in lines])
            lease.finish(session, Status.FAILED, reason)
    except LeaseLost as lost:
        _log.warning("%s", lost)
