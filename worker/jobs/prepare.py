"""Prepares a data set, with its download where it needs one."""

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
    open_data(
        context, lease.held.payload["key"], lease.held.payload["params"], should_stop=lease.should_stop,
        progress=lambda share: lease.report(progress=share), download=True,
    )
    with lease.writing() as session:
        lease.finish(session, Status.SUCCEEDED)
