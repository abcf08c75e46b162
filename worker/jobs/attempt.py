"""One attempt at a run: its data, state and settings, what it records and stores, and its end."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import AugmentationEntry, LrScheduleEntry, RegularizerEntry, ScheduleEntry
from densitylab.backend.shared.contracts import Component, Flag, Run, RunSpec, Status
from densitylab.backend.shared.disk_full import DatabaseFull, DiskFull
from densitylab.backend.shared.store import logs, metrics, runs
from densitylab.backend.shared.validation_bias import biased_validation
from densitylab.worker import resolve
from densitylab.worker.augmentations.none import none
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted
from densitylab.worker.jobs import failures
from densitylab.worker.jobs.algorithm import build_algorithm, keep_files
from densitylab.worker.jobs.checkpointing import Checkpoints
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.continuation import copy_curves, schedule_lines
from densitylab.worker.jobs.data import Data, open_data_of_task
from densitylab.worker.jobs.device import device_name, provenance
from densitylab.worker.jobs.outcome import CURVES, outcome_flags
from densitylab.worker.jobs.recorder import Recorder
from densitylab.worker.jobs.starting_state import Start, parameter_names, starting_state
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.runtime.room import wait_for_room
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import EarlyStop, TrainingConfig
from densitylab.worker.training.cross_entropy import CrossEntropy, balanced_weights
from densitylab.worker.training.loop import StepReport, total_steps
from densitylab.worker.training.precision import ComputeConfig, missing_compiler
from densitylab.worker.training.robust_share import RobustShare
from densitylab.worker.training.state import Best, TrainingState

FINAL_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Images:
    """The images of a run, which runs with the same data can share."""

    data: Data
    train: Dataset
    validation: Dataset

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.data.entry.num_classes or 2


def load_images(context: Context, lease: Lease, spec: RunSpec) -> Images:
    """Open the data set of a spec, and prepare it if that needs no download."""
    lease.report(stage="loading data")
    data = open_data_of_task(context, lease, spec.dataset.key, spec.dataset.params)
    return Images(data, _first(data.load("train"), spec.train_samples), data.load("validation"))


class Attempt:
    """An attempt at a run: made, begun, noted step by step, and finished or stopped.

    Args:
        context: of the job.
        lease: of the run's training.
        record: the run.
        images: those of its spec.
        device: to train on.
    """

    recorder: Recorder
    checkpointer: Checkpoints

    def __init__(self, context: Context, lease: Lease, record: Run, images: Images, device: torch.device) -> None:
        self.lease, self.record, self.images = lease, record, images
        self._context, self._device = context, device
        spec = record.spec
        algorithm = build_algorithm(context, record, images.train, images.classes, device)
        self._start = starting_state(context, lease, record, images.data, device, algorithm)
        self.state = self._start.state
        self._total = total_steps(len(images.train), spec.batch_size, spec.epochs)
        compute, self._not_compiled = _compute_config(record, device)
        self.config = _config(context, record, compute, images.train, images.classes, device)

    def begin(self, more: Sequence[str] = (), **known: Any) -> None:
        """Record that the training starts; then `recorder` and `checkpointer` exist.

        Args:
            more: lines of the log besides.
            known: what provenance says besides.
        """
        context, lease, record, spec, start = self._context, self.lease, self.record, self.record.spec, self._start
        images, state, device, total = self.images, self.state, self._device, self._total
        opening = [*_opening(lease, start, images, device, total), *start.lines, *(("info", text) for text in more)]
        if start.continued is not None:
            opening += schedule_lines(self.config, state, start.continued.spec.epochs, total)
        with lease.writing() as session:
            if start.continued is None:
                metrics.truncate(session, record.id, state.step)  # points after the checkpoint are computed again
            else:
                copy_curves(session, start.continued, record.id, state.step, total // spec.epochs, spec.epochs)
            seconds = _seconds_so_far(session, record.id)
            plugins = specs.plugins(context.catalog, specs.optional_entries(context.catalog, spec))
            runs.set_started(
                session,
                record.id,
                device=device_name(device),
                data_hash=images.data.info.data_hash,
                provenance=provenance(device, plugins)
                | {"precision": self.config.compute.resolved(device)}
                | ({"init_from": start.provenance} if start.provenance else {})
                | known,
            )
            runs.set_parameter_names(session, record.id, parameter_names(state.model))
            lines = [*self._not_compiled, *opening]
            logs.append(session, record.id, [(time.time(), level, text) for level, text in lines])
            lease.report(stage="starting", progress=state.step / total)
            lease.renew(session)
        self.recorder = Recorder(context, lease, record.id, seconds=seconds)
        self.checkpointer = Checkpoints(context, lease, self.recorder, record.id, saved_step=state.step)

    def batches(self) -> Batches:
        """Return new batches of the run's training images."""
        spec = self.record.spec
        chosen = spec.augmentation or Component(key="none")
        augmentation = resolve.component(self._context.catalog, AugmentationEntry, chosen.key, chosen.params)
        first = (augmentation.trainer.get("first") or none) if augmentation.entry.mixes else None
        return Batches(
            self.images.train,
            batch_size=spec.batch_size,
            seed=spec.seed,
            device=self._device,
            sampling=spec.sampling,
            augmentation=augmentation.function if first is None else first,
            mixing=None if first is None else augmentation.function,
        )

    def note(self, report: StepReport) -> None:
        """Add the metrics of a step, and a line of the log at the end of an epoch."""
        if report.epoch % 1 == 0:
            self.recorder.log(_epoch_line(report, self.record.spec.epochs))
        self.recorder.add(report)

    def try_to_save(self) -> None:
        """Save, or log the first of several failures: the training goes on meanwhile."""
        with tolerated([self]):
            self.checkpointer.save(self.state)

    def finish(self) -> None:
        """Store the last checkpoint, what the algorithm keeps and the flags, and end the task."""
        context, lease, record, recorder, state = self._context, self.lease, self.record, self.recorder, self.state
        images, early_stop = self.images, self.config.early_stop
        recorder.log(f"finished: {state.step} steps in {recorder.seconds:.1f} s of training")
        if state.best is not None and early_stop is not None:
            recorder.log(_best_epoch_line(state.best, early_stop, stopped=state.step < self._total))
        for line in state.algorithm.lines():
            recorder.log(line)
        point_to_files = keep_files(context, lease, record.id, state.algorithm)
        replaced: list[str] = []

        def succeed(session: Session) -> None:
            curves = metrics.read(session, record.id, CURVES)
            flags = outcome_flags(
                curves,
                epoch=None if state.best is None else state.best.epoch,
                images=len(images.validation),
                classes=images.classes,
                largest_class=int(images.validation.labels.bincount().max()) if len(images.validation) else 0,
            )
            bias = biased_validation(images.data.info.group_counts)
            if bias is not None and early_stop is not None:
                flags.append(Flag(key="validation_biased", text=bias))
            runs.add_flags(session, record.id, flags)
            replaced[:] = point_to_files(session)
            lease.finish(session, Status.SUCCEEDED)

        _save_final(lease, self.checkpointer, recorder, state, succeed)
        for location in replaced:
            context.artifacts.delete(location)

    def stop(self) -> Interrupted:
        """Store what is there of a training that was asked to stop; return the error to raise."""
        step = self.state.step
        why = "cancelled" if self.lease.cancelled else "the worker shuts down, another one continues"
        self.recorder.log(f"stopped after step {step}: {why}")
        if step > self.checkpointer.saved_step:
            self.try_to_save()
        self.recorder.flush()
        return Interrupted(f"run {self.record.id} stopped after step {step}")


@contextmanager
def tolerated(attempts: Sequence[Attempt]) -> Iterator[None]:
    """Tolerate that the attempts' checkpoints can't be stored in the block; log the first of several failures."""
    try:
        yield
    except (OSError, OperationalError) as error:
        reason = error.orig if isinstance(error, OperationalError) else error.strerror or error
        for attempt in attempts:
            if not attempt.checkpointer.failing:
                attempt.recorder.log(
                    f"the checkpoint of step {attempt.state.step} could not be stored ({reason}); the training goes "
                    "on, and tries again every few seconds",
                    "warning",
                )
            attempt.checkpointer.failing = True
    else:
        for attempt in attempts:
            attempt.checkpointer.failing = False


def _compute_config(record: Run, device: torch.device) -> tuple[ComputeConfig, list[tuple[str, str]]]:
    """Return how the run computes, and a warning if it can't be compiled, which costs time and changes no result."""
    spec = record.spec
    lacking = missing_compiler(device) if spec.compile else None
    compute = ComputeConfig(spec.precision, spec.deterministic, compiled=spec.compile and lacking is None)
    if lacking is None:
        return compute, []
    text = f"the model is not compiled, since this worker lacks {lacking}: the run continues at normal speed"
    return compute, [("warning", text)]


def _config(
    context: Context, record: Run, compute: ComputeConfig, train: Dataset, classes: int, device: torch.device
) -> TrainingConfig:
    spec = record.spec
    balanced = spec.class_weights == "balanced"
    regularizer = resolve.component(context.catalog, RegularizerEntry, spec.regularizer.key, spec.regularizer.params)
    schedule = resolve.component(context.catalog, ScheduleEntry, spec.schedule.key, spec.schedule.params)
    lr_schedule = resolve.component(context.catalog, LrScheduleEntry, spec.lr_schedule.key, spec.lr_schedule.params)
    return TrainingConfig(
        regularizer=regularizer.function,
        uses=regularizer.entry.uses,
        monitor=_monitor(regularizer.entry, spec.regularizer.params) if spec.lambda_ else None,
        **regularizer.trainer,
        lambda_=spec.lambda_,
        schedule=schedule.function,
        observes=schedule.entry.observes,
        robust_share=RobustShare(**schedule.trainer) if "robust_share" in schedule.entry.observes else None,
        epochs=spec.epochs,
        lr_schedule=lr_schedule.function,
        gradient_clip=spec.gradient_clip,
        cross_entropy=CrossEntropy(
            spec.label_smoothing, balanced_weights(train.labels, classes).to(device) if balanced else None
        ),
        parts=spec.gradient_accumulation,
        activation_checkpointing=spec.activation_checkpointing,
        early_stop=None if spec.early_stop is None else EarlyStop(spec.early_stop.patience, spec.early_stop.metric),
        compute=compute,
    )


def _monitor(entry: RegularizerEntry, params: dict[str, Any]) -> Callable[..., dict[str, float]] | None:
    """Return what measures the regularizer's effect after each epoch, with its parameters; None without one."""
    if entry.monitor is None:
        return None
    own = {param.name: params[param.name] for param in entry.params if param.used_by == "component"}
    return partial(resolve.load(replace(entry, path=entry.monitor)), **own)


def _seconds_so_far(session: Session, run_id: int) -> float:
    points = metrics.read(session, run_id, ["loss"], max_points=1)[0].points
    return points[-1].seconds if points else 0.0


def _save_final(
    lease: Lease,
    checkpointer: Checkpoints,
    recorder: Recorder,
    state: TrainingState,
    finish: Callable[[Session], None],
) -> None:
    """Store the last checkpoint and end the task; wait while a disk is full."""
    retried = False
    while True:
        try:
            checkpointer.save(state, finish)
            return
        except (DiskFull, DatabaseFull) as full:
            recorder.flush()
            wait_for_room(lease, full)
        except OSError as error:
            reason = error.strerror or error
            if retried:
                recorder.flush()
                raise failures.JobFailed(
                    f"The final checkpoint could not be stored ({reason}): correct that, then retry; "
                    f"training continues from step {checkpointer.saved_step}."
                ) from error
            recorder.log(f"the final checkpoint could not be stored ({reason}); retrying once", "warning")
            time.sleep(FINAL_RETRY_SECONDS)
            retried = True


def _first(data: Dataset, count: int | None) -> Dataset:
    if count is None:
        return data
    return Dataset(
        data.images[:count],
        data.labels[:count],
        None if data.masks is None else data.masks[:count],
        None if data.groups is None else data.groups[:count],
    )


def _opening(lease: Lease, start: Start, images: Images, device: torch.device, total: int) -> list[tuple[str, str]]:
    parameters = sum(parameter.numel() for parameter in start.state.model.parameters())
    lines = [
        f"attempt {lease.task.attempt} on {socket.gethostname()}, {device_name(device)}, torch {torch.__version__}",
        f"{parameters:,} parameters, {len(images.train):,} training and {len(images.validation):,} validation images, "
        f"{total:,} steps",
    ]
    if start.state.step > 0 and start.continued is None:
        lines.append(f"continues from the checkpoint of step {start.state.step}")
    return [("info", line) for line in lines]


def _epoch_line(report: StepReport, epochs: int) -> str:
    shown = ("loss", "cross_entropy", "penalty", "train_accuracy", "validation_accuracy", "validation_worst_group")
    values = ", ".join(f"{name} {report.values[name]:.4g}" for name in shown if name in report.values)
    return f"epoch {int(report.epoch)} of {epochs}: {values}"


def _best_epoch_line(best: Best, early_stop: EarlyStop, *, stopped: bool) -> str:
    why = f"stopped early after {early_stop.patience} epochs without improvement" if stopped else "finished"
    return f"{why}: the weights are those of epoch {best.epoch}, with {early_stop.metric} {best.value:.4g}"
