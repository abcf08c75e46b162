"""Inputs of an evaluation besides the model and its images: opened only if its entry uses them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from densitylab.backend.shared import specs
from densitylab.backend.shared.artifacts import DamagedFile
from densitylab.backend.shared.catalog import AttributionEntry, EvaluationEntry
from densitylab.backend.shared.contracts import Evaluation, Run
from densitylab.backend.shared.npz import read_arrays
from densitylab.backend.shared.store import datasets, evaluations, run_artifacts, runs
from densitylab.worker import resolve
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.datasets.source import Source
from densitylab.worker.evaluations.micro_batch_size import MicroBatchSize
from densitylab.worker.evaluations.micro_batches import MicroBatched, in_micro_batches
from densitylab.worker.evaluations.prior_result import PriorResult
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import Data, open_data_of_task
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.models import trained_model
from densitylab.worker.runtime.lease import Lease

FRESH_SEED = 2**31  # of the random weights to compare with; above the seeds of all runs


def inputs(
    context: Context,
    lease: Lease,
    record: Run,
    data: Data,
    device: torch.device,
    evaluation: Evaluation,
    entry: EvaluationEntry,
    size: MicroBatchSize,
    prepared: Callable[[torch.nn.Module], MicroBatched],
) -> dict[str, Any]:
    """Return keyword arguments: what the entry `uses`, and data sets, models and attribution methods that its
    parameters name.

    Args:
        context, lease, record, data, device, evaluation, entry: of the task.
        size: of the micro-batches in which the attribution method is called.
        prepared: makes the passes of another model fit into memory.

    Raises:
        JobFailed: a named data set or run can't be used.
        Interrupted: `lease.should_stop()` returned True.
    """
    offered: dict[str, Callable[[], Any]] = {
        "train_data": lambda: lambda: data.load("train"),
        "fresh_model": lambda: lambda: prepared(_fresh_model(context, record, data, device)),
        "prior_results": lambda: _prior_results(context, record, evaluation, data.info.data_hash),
        "corruptions": lambda: _corruptions(context, data),
    }
    given: dict[str, Any] = {name: offered[name]() for name in entry.uses}
    for param in entry.params:
        value = evaluation.params.get(param.name)
        if value is None:
            continue
        if param.type == "run":
            given[param.name] = prepared(_model_of(context, value, record, device))
        elif param.kind == "attribution":
            method = resolve.component(context.catalog, AttributionEntry, value["key"], value["params"])
            given[param.name] = in_micro_batches(method.function, size)
        elif param.kind == "dataset":
            given[param.name] = _data_set(context, lease, value, evaluation.split)
    return given


def _fresh_model(context: Context, record: Run, data: Data, device: torch.device) -> torch.nn.Module:
    spec = record.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FRESH_SEED)
        model = resolve.build_model(
            context.catalog,
            spec.model.key,
            spec.model.params,
            data.entry,
            interface=spec.interface,
            weights_follow=True,
        )
    return model.to(device).eval()


def _prior_results(context: Context, record: Run, evaluation: Evaluation, data_hash: str) -> list[PriorResult]:
    """Return results of the same method with the same weights on the same data, newest first."""
    matching = []
    with context.database.read() as session:
        for item in reversed(evaluations.of_run(session, record.id)):
            same = (item.key, item.split) == (evaluation.key, evaluation.split) and evaluations.is_current(
                context.catalog, item, record.checkpoint_step
            )
            stored = run_artifacts.artifact(session, record.id, f"{item.name}.npz")
            if same and stored is not None and item.provenance.get("data_hash") == data_hash:
                matching.append((item.params, stored.location))
    results = []
    for params, location in matching:
        try:
            results.append(PriorResult(params, read_arrays(context.artifacts.read(location))))
        except (FileNotFoundError, DamagedFile):
            continue  # deleted in the meantime, or of no use
    return results


def _corruptions(context: Context, data: Data) -> Any:
    """Return the published corruptions of the data set's test images, which a launch has checked that it has."""
    folder = context.settings.data_dir
    source = Source(placed=folder, downloads=datasets.downloads_folder(folder, data.entry.key))
    corruptions = resolve.load(replace(data.entry, path=data.entry.corruptions or ""))
    if data.entry.sized_by is None or data.entry.image_size is None:
        return corruptions(source)
    return corruptions(source, **{data.entry.sized_by: data.entry.image_size[0]})


def _model_of(context: Context, run_id: int, record: Run, device: torch.device) -> torch.nn.Module:
    with context.database.read() as session:
        source = runs.get(session, run_id)
        stored = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
    if source is None:
        raise JobFailed(f"Run {run_id}, which this evaluation names, was deleted: choose another.")
    if not specs.same_data(source.spec.dataset, record.spec.dataset):
        raise JobFailed(f"Run {run_id}, which this evaluation names, was trained on other data: choose another.")
    return trained_model(context, source, stored, device)


def _data_set(context: Context, lease: Lease, value: dict[str, Any], own: str) -> Callable[[str], Dataset]:
    """Return a function that loads a split of another data set, in place of its test images those of the split `own`,
    on which the evaluation runs."""
    data = open_data_of_task(context, lease, value["key"], value["params"])
    return lambda split: data.load(own if split == "test" else split)
