"""What a launch would cost, before it is made; nothing is stored."""

import json
from dataclasses import dataclass
from statistics import median

from sqlalchemy.orm import Session

from backend import calibration, devices, launching
from backend.queue import BrokerDown, Queue
from backend.shared import specs
from backend.shared.catalog import find
from backend.shared.contracts import ExperimentRequest, Preflight, PreflightData, QueueName, RunSpec
from backend.shared.settings import Settings
from backend.shared.store import datasets, throughput


@dataclass(frozen=True)
class _Pace:
    """Images a second of one worker, and how we know: from so many finished runs, or none."""

    rate: float | None
    runs: int


def check(session: Session, queue: Queue, settings: Settings, request: ExperimentRequest) -> Preflight:
    """Raises InvalidRequest as a launch does."""
    planned = [item.spec for item in specs.plan(request.spec, request.sweep)]
    for spec in planned:
        launching.check_sources(session, spec.dataset, spec.evaluations, at="/spec/evaluations")
    try:
        workers, broker = queue.workers()[QueueName.TRAIN], "ok"
    except BrokerDown as down:
        workers, broker = 0, str(down)
    steps = [_steps(spec) for spec in planned]
    known: dict[str, _Pace] = {}
    paces = []
    for spec in planned:
        kind = _kind(spec)
        if kind not in known:
            known[kind] = _pace(session, settings, spec)
        paces.append(known[kind])
    seconds = [
        None if pace.rate is None else images / pace.rate
        for pace, images in zip(paces, map(_images, planned), strict=True)
    ]
    told = [value for value in seconds if value is not None]
    whole = sum(told) / max(1, min(workers, len(planned))) if len(told) == len(planned) else None
    if whole is not None and told:
        whole = max(whole, *told)  # one run is never spread over workers
    memory = [_memory(spec) for spec in planned]
    data = _data(session, planned)
    return Preflight(
        runs=len(planned), steps=sum(steps), steps_per_run=steps, seconds=whole, seconds_per_run=seconds,
        basis=_basis(paces), basis_text=_explain(planned, paces, settings), memory_bytes=_largest(memory),
        memory_formula=calibration.FORMULA, workers=workers, broker=broker, data=data,
        launchable=all(item.status != "absent" for item in data),
    )


def _train_size(spec: RunSpec) -> int:
    size = find("dataset", spec.dataset.key).train_size or 0
    return size if spec.train_samples is None else min(size, spec.train_samples)


def _images(spec: RunSpec) -> int:
    return spec.epochs * _train_size(spec)


def _steps(spec: RunSpec) -> int:
    return spec.epochs * -(-_train_size(spec) // spec.batch_size)


def _kind(spec: RunSpec) -> str:
    """What runs of one pace have in common."""
    parts = [spec.dataset, spec.model, spec.regularizer]
    computed = [spec.lambda_ == 0, spec.device, spec.precision, spec.compile]
    return json.dumps([[part.model_dump() for part in parts], computed], sort_keys=True)


def _pace(session: Session, settings: Settings, spec: RunSpec) -> _Pace:
    measured = throughput.of_like_runs(session, spec)
    if measured:
        return _Pace(median(measured), len(measured))
    used = throughput.last_device(session)
    if spec.device.startswith("cuda") or (spec.device == "auto" and used is not None and used.startswith("cuda")):
        return _Pace(None, 0)  # nothing is calibrated for GPUs
    if spec.precision in ("bfloat16", "float16"):
        return _Pace(None, 0)  # some CPUs are faster in half precision, and some many times slower
    entry = find("dataset", spec.dataset.key)
    if entry.image_size is None or entry.channels is None or entry.num_classes is None:
        return _Pace(None, 0)
    shape = (entry.channels, *entry.image_size)
    network = calibration.network(spec.model.key, spec.model.params, shape, entry.num_classes)
    passes = calibration.passes(spec.regularizer.key, spec.regularizer.params, spec.lambda_)
    if network is None or passes is None:
        return _Pace(None, 0)
    return _Pace(calibration.MULTIPLICATIONS_PER_SECOND * _threads(settings) / (network.multiplications * passes), 0)


def _threads(settings: Settings) -> int:
    return settings.threads or max(1, devices.cores() // max(1, settings.workers))


def _memory(spec: RunSpec) -> int | None:
    entry = find("dataset", spec.dataset.key)
    if entry.image_size is None or entry.channels is None or entry.num_classes is None:
        return None
    shape = (entry.channels, *entry.image_size)
    network = calibration.network(spec.model.key, spec.model.params, shape, entry.num_classes)
    copies = calibration.copies(spec.regularizer.key, spec.regularizer.params, spec.lambda_)
    if network is None or copies is None:
        return None
    batch = min(spec.batch_size, _train_size(spec))
    weights = 4 + (spec.ema_decay is not None) + (spec.early_stop is not None)
    return round(4 * (weights * network.parameters + batch * network.activations * copies))


def _largest(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None


def _basis(paces: list[_Pace]) -> str:
    if any(pace.rate is None for pace in paces):
        return "unknown"
    measured = sum(pace.runs > 0 for pace in paces)
    return "measured" if measured == len(paces) else "calibrated" if measured == 0 else "mixed"


def _explain(planned: list[RunSpec], paces: list[_Pace], settings: Settings) -> str:
    how = {
        "measured": "from the throughput of finished runs of the same data, model, regularizer, precision and device",
        "calibrated": f"no such run has finished yet: calculated for {_threads(settings)} CPU threads from a table, "
                      "right within a factor of about three",
        "mixed": "partly from finished runs, partly from a table that is right within a factor of about three",
        "unknown": "no such run has finished yet, and no table has this model, regularizer, precision or "
                   "device: no time is given",
    }[_basis(paces)]
    sooner = "; early stop may end a run sooner" if any(spec.early_stop for spec in planned) else ""
    return how + sooner + "; measures after the training come on top"


def _data(session: Session, planned: list[RunSpec]) -> list[PreflightData]:
    used = {specs.content_hash(spec.dataset.model_dump()): spec.dataset for spec in planned}
    answers = []
    for part in used.values():
        row = datasets.get(session, part.key, part.params)
        ready = row is not None and row.ready
        embedded = find("dataset", part.key).embedded
        answers.append(PreflightData(
            key=part.key, params=part.params, status="ready" if ready else "embedded" if embedded else "absent",
            prepare=None if ready or embedded else f"/api/v1/datasets/{part.key}/prepare",
        ))
    return answers
