"""Prepares a data set, and downloads it if necessary."""

import time

from densitylab.backend.shared.contracts import Status
from densitylab.worker.jobs import leftovers
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import open_data
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease


def run(task_id: int) -> None:
    """Run the preparation task."""
    run_task(task_id, _prepare)


def _prepare(context: Context, lease: Lease) -> None:
    lease.report(stage="preparing", progress=0.0)
    leftovers.delete(context)
    began = time.monotonic()

    def progress(share: float) -> None:
        seconds = time.monotonic() - began
        lease.report(progress=share, eta_seconds=seconds * (1 - share) / share if share > 0 else None)

    open_data(
        context,
        lease.task.payload["key"],
        lease.task.payload["params"],
        should_stop=lease.should_stop,
        progress=progress,
        download=True,
    )
    with lease.writing() as session:
        lease.finish(session, Status.SUCCEEDED)
