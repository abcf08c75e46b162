"""Evaluates a trained run with one method."""

import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import torch

from densitylab.backend.shared import specs
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.catalog import EvaluationEntry
from densitylab.backend.shared.contracts import Curve, Flag, Status, Value
from densitylab.backend.shared.store import evaluations, run_artifacts, runs
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker import resolve
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.micro_batch_size import MicroBatchSize, micro_batch_size
from densitylab.worker.evaluations.micro_batches import MicroBatched
from densitylab.worker.evaluations.result import Result
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import open_data_of_task
from densitylab.worker.jobs.device import choose_device, provenance, set_threads
from densitylab.worker.jobs.evaluation_inputs import inputs
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.models import trained_model
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease

T = TypeVar("T")
HALVINGS = 4  # of the micro-batch, after which a lack of memory ends the evaluation
SEED = 0  # the same for every run, so that all are evaluated with the same random draws

_log = logging.getLogger(__name__)


def run(task_id: int) -> None:
    """Run the evaluation task."""
    run_task(task_id, _evaluate)


def _evaluate(context: Context, lease: Lease) -> None:
    with context.database.read() as session:
        evaluation = evaluations.of_task(session, lease.task.task_id)
        record = runs.get(session, lease.run_id)
        stored = run_artifacts.artifact(session, lease.run_id, run_artifacts.CHECKPOINT)
    if evaluation is None or record is None:
        raise LeaseLost(f"run {lease.run_id} is being deleted")
    lease.report(stage="loading", progress=0.0)
    device = choose_device(record.spec.device)
    set_threads(context, record.spec)
    data = open_data_of_task(context, lease, record.spec.dataset.key, record.spec.dataset.params)
    images = data.load(evaluation.split)
    if not len(images):
        raise JobFailed(f"{data.entry.label} has no {evaluation.split} images: evaluate on the others.")
    model = trained_model(context, record, stored, device)
    method = resolve.component(context.catalog, EvaluationEntry, evaluation.key, evaluation.params)
    first = batches(model, images, np.arange(1), progress=lambda share: None, should_stop=lease.should_stop)
    _, example, _ = next(first)

    def evaluated(halvings: int) -> tuple[Result, MicroBatchSize, float]:
        """Return the result, the size of the micro-batches, halved that many times, and the seconds."""

        def prepared(network: torch.nn.Module) -> MicroBatched:
            return MicroBatched(network, micro_batch_size(network, example).halved(halvings))

        whole = prepared(model)
        given = inputs(context, lease, record, data, device, evaluation, method.entry, whole.size, prepared)
        lease.report(stage="evaluating")
        began = time.monotonic()
        result = method.function(
            whole,
            images,
            generator=torch.Generator(device).manual_seed(SEED),
            progress=lambda share: _progress(lease, share, time.monotonic() - began),
            should_stop=lease.should_stop,
            **given,
        )
        return result, whole.size, time.monotonic() - began

    result, micro_batch, seconds = _within_memory(evaluated)
    location, size = None, 0
    if result.arrays:
        file = io.BytesIO()
        arrays: dict[str, Any] = _with_images(result.arrays, images)
        np.savez_compressed(file, **arrays)
        location = checked_location(
            f"runs/{record.id}/evaluations/{evaluation.id}-{lease.task.token}.npz", file.getvalue()
        )
        size = context.artifacts.write(location, file.getvalue())
    replaced = None
    with_evaluation = record.spec.model_copy(update={"evaluations": [evaluation]})
    plugins = specs.plugins(context.catalog, specs.optional_entries(context.catalog, with_evaluation))
    with lease.writing() as session:
        evaluations.store(
            session,
            evaluation.id,
            values={name: Value(**_finite(asdict(value))) for name, value in result.values.items()},
            curves={name: Curve(**_finite(asdict(curve))) for name, curve in result.curves.items()},
            flags=[Flag(**asdict(flag)) for flag in result.flags],
            seconds=seconds,
            provenance={
                **provenance(device, plugins),
                "data_hash": data.info.data_hash,
                "seed": SEED,
                "micro_batch": micro_batch.images,
                "checkpoint_step": record.checkpoint_step,
                "measure_version": method.entry.version,
            },
        )
        if location is not None:
            replaced = run_artifacts.put_artifact(
                session, record.id, f"{evaluation.name}.npz", location=location, size=size, media_type="application/zip"
            )
        lease.finish(session, Status.SUCCEEDED)
    if replaced is not None:
        context.artifacts.delete(replaced)


def _within_memory(evaluated: Callable[[int], T]) -> T:
    """Return the answer for the fewest halvings with which the GPU's memory suffices.

    Other programs may have taken some since it was measured. The evaluation begins again, with the same draws.

    Raises:
        torch.OutOfMemoryError: it does not suffice after all halvings.
    """
    for halvings in range(HALVINGS):
        try:
            return evaluated(halvings)
        except torch.OutOfMemoryError:
            _log.warning("out of GPU memory: the evaluation begins again with half as many images at once")
        torch.cuda.empty_cache()
    return evaluated(HALVINGS)


def _with_images(arrays: dict[str, np.ndarray], images: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays with the `indices` of their images in the split (without any: the first ones), and with their
    `label` and `group`."""
    own = [len(array) for name, array in arrays.items() if "/" not in name]
    indices = arrays.get("indices", np.arange(own[0] if own else 0))
    if set(own) - {len(indices)} or indices.max(initial=-1) >= len(images):
        return arrays  # of a plug-in, and not of the split's images
    of_images = {"indices": indices, "label": images.labels.cpu().numpy()[indices]}
    if images.groups is not None:
        of_images["group"] = images.groups.cpu().numpy()[indices]
    return {**of_images, **arrays}


def _progress(lease: Lease, share: float, seconds: float) -> None:
    lease.report(progress=share, eta_seconds=seconds * (1 - share) / share if share > 0 else None)


def _finite(content: Any) -> Any:
    """Return the content with null for each infinity and NaN, which JSON does not have."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
