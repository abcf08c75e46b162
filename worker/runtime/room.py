"""Wait until a full disk has room again, with the task's lease."""

import logging
import time

from sqlalchemy.exc import OperationalError

from densitylab.backend.shared.disk_full import DatabaseFull, DiskFull
from densitylab.backend.shared.store import logs
from densitylab.worker.errors import Interrupted
from densitylab.worker.runtime.lease import Lease

RETRY_SECONDS = 5.0
_LISTEN_SECONDS = 0.2

_log = logging.getLogger(__name__)


def wait_for_room(lease: Lease, full: DiskFull | DatabaseFull, least_seconds: float = 0.0) -> None:
    """Wait until another attempt may succeed, at least for `least_seconds`; stage and log of the run say why.

    Raises:
        Interrupted: the task was asked to stop.
        LeaseLost: another worker has the task.
    """
    text = f"the disk of the {full.disk} is full: the {lease.task.kind} waits until there is room"
    _log.warning("task %d: %s", lease.task.task_id, text)
    lease.report(stage=f"waits: the disk of the {full.disk} is full")
    began, logged = time.monotonic(), False
    while True:
        _sleep(lease, RETRY_SECONDS)
        try:
            with lease.writing() as session:
                if not logged and lease.task.run_id is not None:
                    logs.append(session, lease.task.run_id, [(time.time(), "warning", text)])
                lease.renew(session)
        except OperationalError:
            continue
        logged = True
        enough = time.monotonic() - began >= least_seconds
        if enough and (isinstance(full, DatabaseFull) or full.has_room()):
            _log.info("task %d continues", lease.task.task_id)
            return


def _sleep(lease: Lease, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if lease.should_stop():
            raise Interrupted("stopped while it waited for room on the disk")
        time.sleep(_LISTEN_SECONDS)
