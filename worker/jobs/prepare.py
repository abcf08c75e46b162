"""Prepares a data set, with its download where it needs one."""

import time

from backend.shared.contracts import Status
from worker.jobs.context import Context
from worker.jobs.data import open_data
from worker.jobs.running import run_task
from worker.lease import Lease


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _prepare)


def _prepare(context: Context, lease: Lease) -> None:
    lease.report(stage="preparing", progress=0.0)
    began = time.monotonic()

    def progress(share: float) -> None:
        seconds = time.monotonic() - began
        lease.report(progress=share, eta_seconds=seconds * (1 - share) / share if share > 0 else None)

    open_data(
        context, lease.held.payload["key"], lease.held.payload["params"], should_stop=lease.should_stop,
        progress=progress, download=True,
    )
    with lease.writing() as session:
        lease.finish(session, Status.SUCCEEDED)
