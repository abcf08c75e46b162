"""Estimated cost of a launch; nothing is stored."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Literal

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.ops import devices
from densitylab.backend.services import experiments, initial_weights
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.estimates import cost_model, evaluation_cost, seed_notes, training_notes
from densitylab.backend.services.search_runs import max_runs
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import (
    AlgorithmEntry,
    Catalog,
    DatasetEntry,
    EvaluationEntry,
    ModelEntry,
    RegularizerEntry,
    network_cost,
)
from densitylab.backend.shared.contracts import (
    Component,
    ExperimentRequest,
    LaunchCaution,
    Preflight,
    PreflightData,
    QueueName,
    RunSpec,
)
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, throughput
from densitylab.backend.shared.store.time_left import side_by_side
from densitylab.backend.shared.validation_bias import biased_validation


@dataclass(frozen=True)
class _Pace:
    """Images per second of one worker, and the finished runs that it comes from."""

    rate: float | None
    same: int = 0  # runs of the same batch size, on which it was measured; 0: estimated
    others: int = 0  # runs of other batch sizes, from which it was estimated
    lately: int = 0  # runs of the last hour with the same network, from which it was estimated


def check(
    session: Session, catalog: Catalog, queue: Queue, settings: Settings, request: ExperimentRequest
) -> Preflight:
    """Return the estimate. Raises InvalidRequest as a launch does."""
    every = experiments.plan(session, catalog, request)
    require_available(queue, catalog, experiments.optional_entries(every))
    cost = price(session, catalog, queue, settings, every)
    told = None if request.search is not None else seed_notes.note([item.spec for item in every], catalog)
    notes = cost.notes if told is None else [*cost.notes, told]
    return cost.model_copy(update={"max_runs": max_runs(request, cost.runs), "notes": notes})


def price(
    session: Session, catalog: Catalog, queue: Queue, settings: Settings, every: Sequence[specs.Planned]
) -> Preflight:
    """Return the estimated cost of planned runs. Raises InvalidRequest where a run that they name is missing."""
    every = initial_weights.with_sources(session, catalog, every)
    for run in every:
        experiments.check_source_runs(session, catalog, run)
    planned = [item.spec for item in every]
    try:
        hosts, broker = [worker.host for worker in queue.live_workers() if QueueName.TRAIN in worker.queues], "ok"
    except BrokerUnavailable as down:
        hosts, broker = [], str(down)
    workers = len(hosts)
    # Of each run that trains; hosts of workers are taken to be like this one
    cores = devices.cores() * max(1, len(set(hosts))) / max(1, min(workers, len(planned)))
    steps = [_steps(catalog, item) for item in every]
    known: dict[str, _Pace] = {}
    paces = []
    for spec in planned:
        kind = _kind(spec)
        if kind not in known:
            known[kind] = _pace(session, catalog, settings, spec, cores)
        paces.append(known[kind])
    seconds = [
        None if pace.rate is None else images / pace.rate
        for pace, images in zip(paces, (_images(catalog, item) for item in every), strict=True)
    ]
    estimated = [value for value in seconds if value is not None]
    idle = [0.0] * max(1, workers)
    total = max(side_by_side(estimated, idle)) if len(estimated) == len(planned) else None

    def cores_of(spec: RunSpec) -> float | None:
        on_cpu = _on_cpu(session, spec)
        return min(specs.cpu_threads(catalog, spec, settings.threads), cores) if on_cpu else None

    evaluated = evaluation_cost.evaluation_times_of(session, catalog, planned, cores_of)
    evaluating = [item.seconds for item in evaluated if item.seconds is not None]
    memory = [_memory(catalog, spec) for spec in planned]
    data = _data(session, catalog, planned)
    return Preflight(
        runs=len(planned),
        max_runs=len(planned),
        steps=sum(steps),
        steps_per_run=steps,
        seconds=total,
        seconds_per_run=seconds,
        evaluation_seconds=max(side_by_side(evaluating, idle)) if len(evaluating) == len(planned) else None,
        evaluation_basis=_common([item.basis for item in evaluated]),
        basis=_basis(paces),
        basis_text=_explain(catalog, planned, paces, settings),
        memory_bytes=_largest(memory),
        memory_formula=cost_model.FORMULA,
        workers=workers,
        broker=broker,
        data=data,
        notes=[*initial_weights.notes(session, catalog, every), *_notes(session, catalog, planned)],
        cautions=_cautions(every),
        launchable=all(item.status != "absent" for item in data),
    )


def _notes(session: Session, catalog: Catalog, planned: list[RunSpec]) -> list[str]:
    """Return what algorithms and options will do, and of which data sets the validation images are biased, each
    sentence once."""
    sentences: dict[str, None] = {}
    for spec in planned:
        entry = catalog.find(AlgorithmEntry, spec.algorithm.key)
        row = datasets.get(session, spec.dataset.key, spec.dataset.params)
        bias = biased_validation(row.group_counts) if row is not None and row.ready else None
        sentences |= dict.fromkeys(filter(None, (entry.describe(spec.algorithm.params, spec.epochs), bias)))
        classes = catalog.find(DatasetEntry, spec.dataset.key).num_classes
        sentences |= dict.fromkeys(training_notes.notes(spec, _batch(catalog, spec), classes))
    return list(sentences)


def _cautions(every: list[specs.Planned]) -> list[LaunchCaution]:
    """Return the warnings of all runs, each once, at the field of the request that decides it."""
    found: dict[tuple[str, str], LaunchCaution] = {}
    for item in every:
        for caution in item.cautions:
            where = item.locate(caution.pointer)
            found.setdefault((where, caution.text), caution.model_copy(update={"pointer": where}))
    return list(found.values())


def _train_size(catalog: Catalog, spec: RunSpec) -> int:
    size = catalog.find(DatasetEntry, spec.dataset.key).train_size or 0
    return size if spec.train_samples is None else min(size, spec.train_samples)


def _batch(catalog: Catalog, spec: RunSpec) -> int:
    return min(spec.batch_size, _train_size(catalog, spec) or spec.batch_size)


def _images(catalog: Catalog, item: specs.Planned) -> float:
    return initial_weights.more_epochs(item) * _train_size(catalog, item.spec)


def _steps(catalog: Catalog, item: specs.Planned) -> int:
    return round(initial_weights.more_epochs(item) * -(-_train_size(catalog, item.spec) // item.spec.batch_size))


def _kind(spec: RunSpec) -> str:
    """Return a key that is equal for runs of the same speed."""
    parts = [spec.dataset, spec.model, spec.regularizer]
    computed = [spec.lambda_ == 0, spec.device, spec.precision, spec.compile, spec.batch_size, spec.train_samples]
    computed.append(spec.threads)
    return json.dumps([[part.model_dump() for part in parts], computed], sort_keys=True)


def _pace(session: Session, catalog: Catalog, settings: Settings, spec: RunSpec, cores: float) -> _Pace:
    """Return the pace of a run on so many cores of its own."""
    threads = specs.cpu_threads(catalog, spec, settings.threads)
    batch, measured = _batch(catalog, spec), throughput.similar_run_throughput(session, spec, threads)
    same = [rate for size, rate in measured if size == batch]
    if same:
        return _Pace(median(same), same=len(same))
    step = _step_model(session, catalog, spec, min(threads, cores))
    if step is None:
        return _Pace(_extrapolated(batch, measured), others=len(measured))
    # A step of a measured run against the model's is the speed of this machine
    slower = [size / rate / step(size) for size, rate in measured]
    lately = [] if slower else list(_slower_lately(session, catalog, settings, spec, cores))
    factor = median(slower or lately or [1.0])
    return _Pace(batch / (factor * step(batch)), others=len(measured), lately=len(lately))


def _slower_lately(
    session: Session, catalog: Catalog, settings: Settings, spec: RunSpec, cores: float
) -> Iterator[float]:
    """Yield the time of a step against the cost model's, of runs of the last hour with the same data set and model."""
    for run in throughput.trained_lately(session, spec):
        threads = specs.cpu_threads(catalog, run.spec, settings.threads)
        step = _step_model(session, catalog, run.spec, min(threads, cores))
        if step is not None:
            batch = _batch(catalog, run.spec)
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
    if not _on_cpu(session, spec):
        return None  # the cost model does not apply to GPUs
    if spec.precision in ("bfloat16", "float16"):
        return None  # half precision is faster on some CPUs and many times slower on others
    entry = catalog.dataset(spec.dataset.key, spec.dataset.params)
    network = network_cost(catalog.find(ModelEntry, spec.model.key), spec.model.params, entry)
    passes = cost_model.passes(
        catalog.find(RegularizerEntry, spec.regularizer.key), spec.regularizer.params, spec.lambda_
    )
    if network is None or passes is None:
        return None
    return lambda batch: cost_model.step_seconds(network, passes, batch, cores)


def _on_cpu(session: Session, spec: RunSpec) -> bool:
    """Return whether a run will be computed on a CPU, as far as is known."""
    used = throughput.last_device(session)
    return not (
        spec.device.startswith("cuda") or (spec.device == "auto" and used is not None and used.startswith("cuda"))
    )


def _memory(catalog: Catalog, spec: RunSpec) -> int | None:
    entry = catalog.dataset(spec.dataset.key, spec.dataset.params)
    network = network_cost(catalog.find(ModelEntry, spec.model.key), spec.model.params, entry)
    copies = cost_model.copies(
        catalog.find(RegularizerEntry, spec.regularizer.key), spec.regularizer.params, spec.lambda_
    )
    if network is None or copies is None:
        return None
    batch = training_notes.largest_part(_batch(catalog, spec), spec)
    weights = 4 + (spec.ema_decay is not None) + (spec.early_stop is not None)
    return round(4 * (weights * network.parameters + batch * network.activations * copies))


def _largest(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max(known, default=None) if len(known) == len(sizes) else None


def _basis(paces: list[_Pace]) -> Literal["measured", "calibrated", "mixed", "unknown"]:
    return _common(["unknown" if pace.rate is None else "measured" if pace.same else "calibrated" for pace in paces])


def _common(bases: Sequence[str]) -> Literal["measured", "calibrated", "mixed", "unknown"]:
    """Return what an estimate of all runs rests on, by what those of the runs rest on."""
    if "unknown" in bases:
        return "unknown"
    measured = sum(basis == "measured" for basis in bases)
    return "measured" if measured == len(bases) else "calibrated" if measured == 0 else "mixed"


def _explain(catalog: Catalog, planned: list[RunSpec], paces: list[_Pace], settings: Settings) -> str:
    if all(pace.others for pace in paces):
        calibrated = "no run of this batch size has finished yet: estimated from runs of other batch sizes"
    else:
        counts = sorted({specs.cpu_threads(catalog, spec, settings.threads) for spec in planned})
        threads = f"{' or '.join(map(str, counts))} CPU thread{'' if counts == [1] else 's'}"
        as_now = "as fast as runs of this network in the last hour"
        speed = as_now if all(pace.same or pace.lately for pace in paces) else "on an idle machine"
        calibrated = f"no such run has finished yet: estimated for {threads} per run from the network's size, {speed}"
    how = {
        "measured": "from the throughput of finished runs of the same data, model, regularizer, batch size, precision "
        "and device, those of the last hour if there are any",
        "calibrated": f"{calibrated}, right within a factor of about two",
        "mixed": "partly from finished runs, partly estimated within a factor of about two, for a machine that is "
        "otherwise idle",
        "unknown": "no such run has finished yet, and there is no estimate for this model, regularizer, precision or "
        "device",
    }[_basis(paces)]
    sooner = "; early stop may end a run sooner" if any(spec.early_stop for spec in planned) else ""
    return how + sooner


def _evaluated_against(catalog: Catalog, spec: RunSpec) -> Iterator[Component]:
    """Yield the data sets that the evaluations of a run name."""
    for item in spec.evaluations:
        for param in catalog.find(EvaluationEntry, item.key).params:
            if param.kind == "dataset" and item.params[param.name] is not None:
                yield Component.model_validate(item.params[param.name])


def _data(session: Session, catalog: Catalog, planned: list[RunSpec]) -> list[PreflightData]:
    used: dict[str, Component] = {}
    for spec in planned:
        for part in (spec.dataset, *_evaluated_against(catalog, spec)):
            used.setdefault(specs.content_hash(part.model_dump()), part)
    answers = []
    for part in used.values():
        row = datasets.get(session, part.key, part.params)
        ready = row is not None and row.ready
        embedded = catalog.find(DatasetEntry, part.key).embedded
        answers.append(
            PreflightData(
                key=part.key,
                params=part.params,
                status="ready" if ready else "embedded" if embedded else "absent",
                prepare=None if ready or embedded else f"/api/v1/datasets/{part.key}/prepare",
            )
        )
    return answers
