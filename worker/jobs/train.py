"""Trains a run, from its checkpoint where it has one."""

import io
import socket
import time
from collections.abc import Callable
from contextlib import closing

import torch
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.shared.contracts import Component, Run, Status
from backend.shared.store import logs, metrics, runs
from backend.shared.store.tasks import LeaseLost
from backend.shared.tables import ArtifactRow
from worker import checkpoints, resolve
from worker.arithmetic import Arithmetic, missing_compiler
from worker.batches import Batches
from worker.datasets.dataset import Dataset
from worker.jobs import failures, machine
from worker.jobs.checkpointing import Checkpoints, remove_orphans
from worker.jobs.context import Context
from worker.jobs.data import Data, open_data
from worker.jobs.recorder import Recorder
from worker.jobs.running import run_task
from worker.lease import Lease
from worker.stopped import Stopped
from worker.training import Best, EarlyStop, StepReport, TrainingState, fit, total_steps

FINAL_RETRY_SECONDS = 2.0


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _train)


def _train(context: Context, lease: Lease) -> None:
    with context.database.read() as session:
        record = runs.get(session, lease.held.run_id)
    if record is None:
        raise LeaseLost(f"run {lease.held.run_id} is being deleted")
    device = machine.choose_device(record.spec.device)
    try:
        _train_on(device, context, lease, record)
    except Exception as error:
        if failures.out_of_memory(error):
            smaller = max(1, record.spec.batch_size // 2)
            raise failures.JobFailed(
                f"Out of memory on {device}: try batch_size {smaller} (now {record.spec.batch_size}) "
                "or a smaller model."
            ) from error
        if (advice := failures.arithmetic(error)) is not None:
            raise failures.JobFailed(advice) from error
        raise


def _train_on(device: torch.device, context: Context, lease: Lease, record: Run) -> None:
    spec = record.spec
    lease.report(stage="loading data")
    data = open_data(
        context, spec.dataset.key, spec.dataset.params, should_stop=lease.should_stop,
        progress=lambda share: lease.report(stage=f"preparing data, {share:.0%}"),
    )
    train, validation = _first(data.load("train"), spec.train_samples), data.load("validation")
    with context.database.read() as session:
        stored = runs.artifact(session, record.id, "checkpoint.pt")
    remove_orphans(context, record.id, token=lease.held.token, keep=stored.location if stored else None)
    state, warning = _resume(context, record, stored, data, device)
    total = total_steps(len(train), spec.batch_size, spec.epochs)
    arithmetic, slower = _arithmetic(record, device)
    opening = _opening(lease, state, train, validation, device, total)

    with lease.writing() as session:
        # Points past the checkpoint are written again from here on
        metrics.truncate(session, record.id, state.step)
        seconds = _seconds_so_far(session, record.id)
        runs.set_started(session, record.id, device=machine.device_name(device), data_hash=data.info.data_hash,
                         provenance=machine.provenance(device))
        logs.append(session, record.id, [(time.time(), level, text) for level, text in [*warning, *slower, *opening]])
        lease.report(stage="starting", progress=state.step / total)
        lease.renew(session)
    recorder = Recorder(context, lease, record.id, step=state.step, seconds=seconds)
    keeper = Checkpoints(context, lease, recorder, record.id, saved_step=state.step)

    def on_step(report: StepReport) -> None:
        if report.epoch % 1 == 0:
            recorder.log(_epoch_line(report, spec.epochs))
        recorder.add(report)
        if keeper.due():
            _try_to_save(keeper, recorder, state)

    regularizer = resolve.component("regularizer", spec.regularizer.key, spec.regularizer.params)
    schedule = resolve.component("schedule", spec.schedule.key, spec.schedule.params)
    lr_schedule = resolve.component("lr_schedule", spec.lr_schedule.key, spec.lr_schedule.params)
    early_stop = None if spec.early_stop is None else EarlyStop(spec.early_stop.patience, spec.early_stop.metric)
    try:
        with closing(_batches(record, train, device)) as batches:
            finished = fit(
                state, batches, validation, regularizer=regularizer.function, **regularizer.trainer,
                lambda_=spec.lambda_, schedule=schedule.function, observes=schedule.entry.observes, epochs=spec.epochs,
                lr_schedule=lr_schedule.function, gradient_clip=spec.gradient_clip, early_stop=early_stop,
                arithmetic=arithmetic, on_step=on_step, should_stop=lease.should_stop,
            )
    except (ArithmeticError, MemoryError, RuntimeError):
        recorder.flush()  # what was measured until then is kept
        raise
    if finished:
        recorder.log(f"finished: {state.step} steps in {recorder.seconds:.1f} s of training")
        if state.best is not None and early_stop is not None:
            recorder.log(_kept_line(state.best, early_stop, stopped=state.step < total))
        _save_final(keeper, recorder, state, lambda session: lease.finish(session, Status.SUCCEEDED))
    else:
        why = "cancelled" if lease.cancelled else "the worker shuts down, another goes on"
        recorder.log(f"stops after step {state.step}: {why}")
        if state.step > keeper.saved_step:
            _try_to_save(keeper, recorder, state)
        recorder.flush()
        raise Stopped(f"run {record.id} stopped after step {state.step}")


def _resume(
    context: Context, record: Run, stored: ArtifactRow | None, data: Data, device: torch.device
) -> tuple[TrainingState, list[tuple[str, str]]]:
    """The state to go on from, and a warning where the checkpoint was of no use."""
    spec, threads = record.spec, machine.training_threads(context.settings)

    def new(*, weights_follow: bool = False) -> TrainingState:
        return TrainingState.new(
            seed=spec.seed, device=device, threads=threads, ema_decay=spec.ema_decay,
            build_model=lambda: resolve.build_model(
                spec.model.key, spec.model.params, data.entry, weights_follow=weights_follow
            ),
            build_optimizer=lambda parameters: resolve.build_optimizer(
                spec.optimizer.key, spec.optimizer.params, parameters
            ),
        )

    if stored is None:
        return new(), []
    state = new(weights_follow=True)
    try:
        checkpoints.load(io.BytesIO(context.artifacts.read(stored.location)), state)
    except (ValueError, FileNotFoundError) as error:
        text = f"the checkpoint of step {stored.step} is of no use, so training begins again from scratch: {error}"
        return new(), [("warning", text)]
    return state, []


def _arithmetic(record: Run, device: torch.device) -> tuple[Arithmetic, list[tuple[str, str]]]:
    """How the run computes, and a warning where it cannot be compiled: that costs time and changes no result."""
    spec = record.spec
    lacking = missing_compiler(device) if spec.compile else None
    arithmetic = Arithmetic(spec.precision, spec.deterministic, compiled=spec.compile and lacking is None)
    if lacking is None:
        return arithmetic, []
    text = f"the model is not compiled, since this worker lacks {lacking}: the run goes on without, at the usual speed"
    return arithmetic, [("warning", text)]


def _batches(record: Run, train: Dataset, device: torch.device) -> Batches:
    spec = record.spec
    suited = spec.augmentation or Component(key="none")
    augmentation = resolve.component("augmentation", suited.key, suited.params)
    return Batches(train, batch_size=spec.batch_size, seed=spec.seed, device=device, sampling=spec.sampling,
                   augmentation=augmentation.function)


def _seconds_so_far(session: Session, run_id: int) -> float:
    points = metrics.read(session, run_id, ["loss"], max_points=1)[0].points
    return points[-1].seconds if points else 0.0


def _try_to_save(keeper: Checkpoints, recorder: Recorder, state: TrainingState) -> None:
    try:
        keeper.save(state)
    except (OSError, OperationalError) as error:
        reason = error.orig if isinstance(error, OperationalError) else error.strerror or error
        recorder.log(f"the checkpoint of step {state.step} could not be stored ({reason}); it is tried again later",
                     "warning")


def _save_final(
    keeper: Checkpoints, recorder: Recorder, state: TrainingState, finish: Callable[[Session], None]
) -> None:
    try:
        keeper.save(state, finish)
    except OSError as error:
        recorder.log(f"the final checkpoint could not be stored ({error.strerror or error}); one more try", "warning")
        time.sleep(FINAL_RETRY_SECONDS)
        try:
            keeper.save(state, finish)
        except OSError as again:
            recorder.flush()
            raise failures.JobFailed(
                f"The final checkpoint could not be stored ({again.strerror or again}): free some space, then retry; "
                f"training goes on from step {keeper.saved_step}."
            ) from again


def _first(data: Dataset, count: int | None) -> Dataset:
    if count is None:
        return data
    return Dataset(
        data.images[:count], data.labels[:count], None if data.masks is None else data.masks[:count],
        None if data.groups is None else data.groups[:count],
    )


def _opening(
    lease: Lease, state: TrainingState, train: Dataset, validation: Dataset, device: torch.device, total: int
) -> list[tuple[str, str]]:
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    lines = [
        f"attempt {lease.held.attempt} on {socket.gethostname()}, {machine.device_name(device)}, "
        f"torch {torch.__version__}",
        f"{parameters:,} parameters, {len(train):,} training and {len(validation):,} validation images, "
        f"{total:,} steps",
    ]
    if state.step > 0:
        lines.append(f"goes on from the checkpoint of step {state.step}")
    return [("info", line) for line in lines]


def _epoch_line(report: StepReport, epochs: int) -> str:
    shown = ("loss", "cross_entropy", "penalty", "train_accuracy", "validation_accuracy")
    values = ", ".join(f"{name} {report.values[name]:.4g}" for name in shown if name in report.values)
    return f"epoch {int(report.epoch)} of {epochs}: {values}"


def _kept_line(best: Best, early_stop: EarlyStop, *, stopped: bool) -> str:
    why = f"stopped early, with nothing better after {early_stop.patience} more epochs" if stopped else "kept"
    return f"{why}: the weights are those of epoch {best.epoch}, with {early_stop.metric} {best.value:.4g}"
