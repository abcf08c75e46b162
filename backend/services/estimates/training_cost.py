"""Estimated speed and time of trainings."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

from sqlalchemy.orm import Session

from densitylab.backend.services import initial_weights
from densitylab.backend.services.estimates import cost_model
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, RegularizerEntry
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.store import throughput


@dataclass(frozen=True)
class Pace:
    """Images per second of one worker, and the finished runs that it comes from."""

    rate: float | None
    same: int = 0  # runs of the same batch size, on which it was measured; 0: estimated
    others: int = 0  # runs of other batch sizes, from which it was estimated
    lately: int = 0  # runs of the last hour with the same network, from which it was estimated


@dataclass(frozen=True)
class TrainingTimes:
    """Paces and seconds of trainings, in the order of the runs; seconds of None are not known."""

    paces: list[Pace]
    seconds: list[float | None]


def training_times_of(
    session: Session, catalog: Catalog, capacity: Capacity, every: Sequence[specs.Planned]
) -> TrainingTimes:
    """Return the time of each run's training: from the throughput of finished ones of the same data, model and
    regularizer, and for others the cost model's estimate.

    Args:
        session: of the database.
        catalog: with the costs of regularizers and networks.
        capacity: of the workers that train the runs.
        every: planned runs, with the checkpoints that they start from.
    """
    cores = capacity.cores / capacity.at_once(len(every))
    known: dict[str, Pace] = {}
    paces = []
    for item in every:
        kind = _kind(item.spec)
        if kind not in known:
            known[kind] = _pace(session, catalog, capacity, item.spec, cores)
        paces.append(known[kind])
    seconds = [
        None if pace.rate is None else images / pace.rate
        for pace, images in zip(paces, (_images(catalog, item) for item in every), strict=True)
    ]
    return TrainingTimes(paces, seconds)


def train_size(catalog: Catalog, spec: RunSpec) -> int:
    """Return the number of training images."""
    size = catalog.find(DatasetEntry, spec.dataset.key).train_size or 0
    return size if spec.train_samples is None else min(size, spec.train_samples)


def batch_size(catalog: Catalog, spec: RunSpec) -> int:
    """Return the images of a step, at most the training images."""
    return min(spec.batch_size, train_size(catalog, spec) or spec.batch_size)


def _images(catalog: Catalog, item: specs.Planned) -> float:
    return initial_weights.more_epochs(item) * train_size(catalog, item.spec)


def _kind(spec: RunSpec) -> str:
    """Return a key that is equal for runs of the same speed."""
    parts = [spec.dataset, spec.model, spec.regularizer]
    computed = [spec.lambda_ == 0, spec.device, spec.precision, spec.compile, spec.batch_size, spec.train_samples]
    computed.append(spec.threads)
    return json.dumps([[part.model_dump() for part in parts], computed], sort_keys=True)


def _pace(session: Session, catalog: Catalog, capacity: Capacity, spec: RunSpec, cores: float) -> Pace:
    """Return the pace of a run on so many cores of its own."""
    threads = capacity.threads_of(catalog, spec)
    batch, measured = batch_size(catalog, spec), throughput.similar_run_throughput(session, spec, threads)
    same = [rate for size, rate in measured if size == batch]
    if same:
        return Pace(median(same), same=len(same))
    step = _step_model(session, catalog, spec, min(threads, cores))
    if step is None:
        return Pace(_extrapolated(batch, measured), others=len(measured))
    # A step of a measured run against the model's is the speed of this machine
    slower = [size / rate / step(size) for size, rate in measured]
    lately = [] if slower else list(_slower_lately(session, catalog, capacity, spec, cores))
    factor = median(slower or lately or [1.0])
    return Pace(batch / (factor * step(batch)), others=len(measured), lately=len(lately))


def _slower_lately(
    session: Session, catalog: Catalog, capacity: Capacity, spec: RunSpec, cores: float
) -> Iterator[float]:
    """Yield the time of a step against the cost model's, of runs of the last hour with the same data set and model."""
    for run in throughput.trained_lately(session, spec):
        threads = capacity.threads_of(catalog, run.spec)
        step = _step_model(session, catalog, run.spec, min(threads, cores))
        if step is not None:
            batch = batch_size(catalog, run.spec)
            yield batch / run.rate / step(batch)


def _extrapolated(batch: int, measured: list[tuple[int, float]]) -> float | None:
    """Return images per second at a batch size by a line through the times of steps; None with fewer than two sizes."""
    sizes, seconds = [size for size, _ in measured], [size / rate for size, rate in measured]
    if len(set(sizes)) < 2:
        return None
    line = linear_regression(sizes, seconds)
    of_step = line.intercept + line.slope * batch
    return batch / of_step if of_step > 0 else None


def _step_model(session: Session, catalog: Catalog, spec: RunSpec, cores: float) -> Callable[[int], float] | None:
    """Return the seconds of a step by its batch size, of the cost model; None where it does not apply."""
    if not on_cpu(session, spec):
        return None  # the cost model does not apply to GPUs
    if spec.precision in ("bfloat16", "float16"):
        return None  # half precision is faster on some CPUs and many times slower on others
    network = specs.network_of(catalog, spec)
    passes = cost_model.passes(
        catalog.find(RegularizerEntry, spec.regularizer.key), spec.regularizer.params, spec.lambda_
    )
    if network is None or passes is None:
        return None
    return lambda batch: cost_model.step_seconds(network, passes, batch, cores)


def on_cpu(session: Session, spec: RunSpec) -> bool:
    """Return whether a run will be computed on a CPU, as far as is known."""
    used = throughput.last_device(session)
    return not (
        spec.device.startswith("cuda") or (spec.device == "auto" and used is not None and used.startswith("cuda"))
    )
