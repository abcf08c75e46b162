"""Trains a run, from its checkpoint if it has one, and with it runs that can be trained as one."""

from contextlib import ExitStack, closing

import torch

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.store import runs
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker.jobs import failures
from densitylab.worker.jobs.attempt import Attempt, load_images
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.device import choose_device
from densitylab.worker.jobs.stack import partners
from densitylab.worker.jobs.stacked_training import train_together
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.loop import StepReport, fit
from densitylab.worker.training.stacked.member import Member


def run(task_id: int) -> None:
    """Run the training task."""
    run_task(task_id, _train)


def _train(context: Context, lease: Lease) -> None:
    with context.database.read() as session:
        record = runs.get(session, lease.run_id)
    if record is None:
        raise LeaseLost(f"run {lease.run_id} is being deleted")
    device = choose_device(record.spec.device)
    try:
        _train_on(device, context, lease, record)
    except Exception as error:
        advised = failures.of_training(error, device, record.spec.batch_size)
        if advised is error:
            raise
        raise advised from error


def _train_on(device: torch.device, context: Context, lease: Lease, record: Run) -> None:
    attempt = Attempt(context, lease, record, load_images(context, lease, record.spec), device)
    with closing(attempt.batches()) as batches, ExitStack() as leases:
        others = partners(context, attempt, Member(attempt.state, attempt.config, batches), leases)
        if others:
            train_together([attempt, *others], batches)
        else:
            _train_alone(attempt, batches)


def _train_alone(attempt: Attempt, batches: Batches) -> None:
    attempt.begin()

    def on_step(report: StepReport) -> None:
        attempt.note(report)
        if attempt.recorder.due():
            attempt.recorder.flush()
        if attempt.checkpointer.due():
            attempt.try_to_save()

    try:
        finished = fit(
            attempt.state,
            batches,
            attempt.images.validation,
            attempt.config,
            on_step=on_step,
            should_stop=attempt.lease.should_stop,
        )
    except (ArithmeticError, MemoryError, RuntimeError):
        attempt.recorder.flush()  # keep the metrics until the error
        raise
    if not finished:
        raise attempt.stop()
    attempt.finish()
