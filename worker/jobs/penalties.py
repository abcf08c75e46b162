"""Computes mean penalties of a regularizer with its parameters and with reference ones, at new or trained weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any

import torch

from densitylab.backend.shared.catalog import RegularizerEntry
from densitylab.backend.shared.contracts import PenaltyComparison, Run, RunSpec, Status
from densitylab.backend.shared.store import penalties, run_artifacts, runs
from densitylab.backend.shared.store.tasks import Claim
from densitylab.worker import resolve
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import Data, open_data_of_task
from densitylab.worker.jobs.device import choose_device, set_threads
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.models import trained_model
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training import seeds
from densitylab.worker.training.penalties import mean_penalty
from densitylab.worker.training.precision import ComputeConfig

IMAGE_SEED = 0
_FLOAT32 = ComputeConfig("float32")
# docs/statistics.md has the figures
_POWERS_DIFFER = (
    "The powers differ, so λ depends on the gradient's norm at the end of the training, and new weights may give one "
    "that is too small by a factor of 10: take those of a run that was trained with the reference parameters at λ₀."
)
_OTHER_RUN = (
    "Run {} was not trained with the reference parameters at λ₀. Weights of other runs, such as the baseline's, may "
    "give a λ that is wrong by a factor of 20; for another norm or target new weights are safer."
)


def run(task_id: int) -> None:
    """Run the task."""
    run_task(task_id, _compare)


def _compare(context: Context, lease: Lease) -> None:
    request = lease.task.payload
    spec, record = RunSpec.model_validate(request["spec"]), _record(context, request["run"])
    lease.report(stage="loading data")
    data = open_data_of_task(context, lease, spec.dataset.key, spec.dataset.params)
    images = _drawn(data.load("train"), request["images"], spec.train_samples)
    device = choose_device(spec.device)
    set_threads(context, spec)
    regularizers = [
        resolve.component(context.catalog, RegularizerEntry, spec.regularizer.key, params)
        for params in (spec.regularizer.params, request["reference"])
    ]
    lease.report(stage="computing penalties", progress=0.0)
    of_weights: list[list[float]] = []
    # this process also runs other jobs: their random numbers stay as they are
    with _FLOAT32.applied(device), torch.random.fork_rng([device] if device.type == "cuda" else []):
        for seed, model in _models(context, request["seeds"], spec, record, data, device):
            of_weights.append([_mean(item, model, images, seed, device, lease.should_stop) for item in regularizers])
            lease.report(progress=len(of_weights) / max(1, len(request["seeds"])))
    penalty, reference_penalty = (fmean(values) for values in zip(*of_weights, strict=True))
    entry = context.catalog.find(RegularizerEntry, spec.regularizer.key)
    found = _comparison(entry, lease.task, spec, record, data.info.std, len(images), penalty, reference_penalty)
    with lease.writing() as session:
        penalties.keep(session, lease.task.task_id, found)
        lease.finish(session, Status.SUCCEEDED)


def _record(context: Context, run_id: int | None) -> Run | None:
    """Return the run whose weights are taken; None for new weights. Raises JobFailed if it is gone."""
    if run_id is None:
        return None
    with context.database.read() as session:
        record = runs.get(session, run_id)
    if record is None:
        raise JobFailed(f"Run {run_id} was deleted: choose another run, or new weights.")
    return record


def _models(
    context: Context, new: list[int], spec: RunSpec, record: Run | None, data: Data, device: torch.device
) -> Iterator[tuple[int, torch.nn.Module]]:
    """Yield the run's trained model, or a new one for each seed, with the seed of the penalty's noise."""
    if record is not None:
        with context.database.read() as session:
            stored = run_artifacts.artifact(session, record.id, run_artifacts.CHECKPOINT)
        yield record.spec.seed, trained_model(context, record, stored, device)
    for seed in new:
        torch.manual_seed(seed)
        model = resolve.build_model(
            context.catalog, spec.model.key, spec.model.params, data.entry, interface=spec.interface
        )
        yield seed, model.to(device)


def _mean(
    regularizer: resolve.Component[RegularizerEntry],
    model: torch.nn.Module,
    images: Dataset,
    seed: int,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> float:
    """Return the mean penalty. Raises JobFailed unless it is a finite number."""
    torch.manual_seed(seed)  # the same dropout masks for both parameters
    value = mean_penalty(
        model,
        images,
        regularizer=regularizer.function,
        uses=regularizer.entry.uses,
        generator=torch.Generator(device).manual_seed(seeds.derive_seed(seed, seeds.PENALTY, 0)),
        device=device,
        should_stop=should_stop,
    )
    if value is None:
        raise Interrupted("the computation was stopped")
    if not math.isfinite(value):
        raise JobFailed(f"The mean penalty at these weights is {value}, not a finite number: take other weights.")
    return value


def _drawn(data: Dataset, count: int, train_samples: int | None) -> Dataset:
    """Return images of the training, drawn in the same way for every request."""
    available = min(len(data), train_samples or len(data))
    at = torch.randperm(available, generator=torch.Generator().manual_seed(IMAGE_SEED))[:count].sort().values
    return Dataset(data.images[at], data.labels[at], None if data.masks is None else data.masks[at])


def _comparison(
    entry: RegularizerEntry,
    task: Claim,
    spec: RunSpec,
    record: Run | None,
    channel_std: Sequence[float],
    images: int,
    penalty: float,
    reference_penalty: float,
) -> PenaltyComparison:
    request = task.payload
    params, reference, lambda_ = spec.regularizer.params, request["reference"], request["lambda_"]
    exponent = next((param.name for param in entry.params if param.rescales == "exponent"), None)
    power, reference_power = (1, 1) if exponent is None else (params[exponent], reference[exponent])
    ratio = suggested = None
    cautions = ["λ is not comparable across networks, data sets and regularizers: the ratio holds for these alone."]
    if penalty > 0 and reference_penalty > 0:
        ratio = reference_penalty / penalty
        # equal gradients of the loss by the weights: that of ‖g‖^k is k ‖g‖^(k − 1) times that of the norm
        suggested = lambda_ * ratio * reference_power / power
    else:
        cautions.insert(0, "A mean penalty is not above 0, so no λ follows.")
    if not _trained_so(record, entry.key, reference, lambda_):
        if record is not None:
            cautions.insert(0, _OTHER_RUN.format(record.id))
        elif power != reference_power:
            cautions.insert(0, _POWERS_DIFFER)
    if exponent is not None:
        std = fmean(channel_std)
        cautions.append(
            f"A λ that others give for standardised inputs is λ·std^{power} here, so {std**power:.2g} times theirs "
            f"(std {std:.3g})."
        )
    return PenaltyComparison(
        id=task.task_id,
        regularizer=entry.key,
        params=params,
        reference=reference,
        penalty=penalty,
        reference_penalty=reference_penalty,
        ratio=ratio,
        lambda_=lambda_,
        suggested_lambda=suggested,
        images=images,
        seeds=request["seeds"],
        run=request["run"],
        cautions=cautions,
    )


def _trained_so(record: Run | None, key: str, params: dict[str, Any], lambda_: float) -> bool:
    """Return whether the run was trained with this regularizer, these parameters and this λ."""
    if record is None:
        return False
    spec = record.spec
    return (spec.regularizer.key, spec.regularizer.params, spec.lambda_) == (key, params, lambda_)
