"""Estimated cost of a launch; nothing is stored."""

from collections.abc import Iterator, Sequence
from typing import Literal

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services import experiments, initial_weights
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.estimates import (
    cost_model,
    evaluation_cost,
    group_notes,
    seed_notes,
    training_cost,
    training_notes,
)
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.estimates.training_cost import Pace, batch_size, train_size
from densitylab.backend.services.search_runs import max_runs
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import (
    AlgorithmEntry,
    Catalog,
    DatasetEntry,
    EvaluationEntry,
    RegularizerEntry,
)
from densitylab.backend.shared.contracts import (
    Component,
    ExperimentRequest,
    LaunchCaution,
    Preflight,
    PreflightData,
    RunSpec,
)
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets
from densitylab.backend.shared.store.time_left import side_by_side
from densitylab.backend.shared.validation_bias import biased_validation


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
    capacity = Capacity.find(queue, settings)
    trained = training_cost.training_times_of(session, catalog, capacity, every)
    evaluated = evaluation_cost.evaluation_times_of(session, catalog, capacity, planned)
    steps = [_steps(catalog, item) for item in every]
    memory = [_memory(catalog, spec) for spec in planned]
    data = _data(session, catalog, planned)
    return Preflight(
        runs=len(planned),
        max_runs=len(planned),
        steps=sum(steps),
        steps_per_run=steps,
        seconds=_in_all(trained.seconds, capacity),
        seconds_per_run=trained.seconds,
        evaluation_seconds=_in_all([item.seconds for item in evaluated], capacity),
        evaluation_basis=_common([item.basis for item in evaluated]),
        basis=_basis(trained.paces),
        basis_text=_explain(catalog, planned, trained.paces, capacity),
        memory_bytes=_largest(memory),
        memory_formula=cost_model.FORMULA,
        workers=capacity.workers,
        broker=capacity.broker,
        data=data,
        notes=[*initial_weights.notes(session, catalog, every), *_notes(session, catalog, planned)],
        cautions=_cautions(every),
        launchable=all(item.status != "absent" for item in data),
    )


def _in_all(seconds: Sequence[float | None], capacity: Capacity) -> float | None:
    """Return when the last of tasks that take so long has ended; None: the time of one is not known."""
    known = [value for value in seconds if value is not None]
    return max(side_by_side(known, [0.0] * max(1, capacity.workers))) if len(known) == len(seconds) else None


def _notes(session: Session, catalog: Catalog, planned: list[RunSpec]) -> list[str]:
    """Return what algorithms and options will do, of which data sets the validation images are biased, and of which the
    groups are small, each sentence once."""
    sentences: dict[str, None] = {}
    for spec in planned:
        entry = catalog.find(AlgorithmEntry, spec.algorithm.key)
        row = datasets.get(session, spec.dataset.key, spec.dataset.params)
        counts = row.group_counts if row is not None and row.ready else {}
        found = (
            entry.describe(spec.algorithm.params, spec.epochs),
            biased_validation(counts),
            group_notes.note(spec, catalog, counts),
        )
        sentences |= dict.fromkeys(filter(None, found))
        classes = catalog.find(DatasetEntry, spec.dataset.key).num_classes
        sentences |= dict.fromkeys(training_notes.notes(spec, batch_size(catalog, spec), classes))
    return list(sentences)


def _cautions(every: list[specs.Planned]) -> list[LaunchCaution]:
    """Return the warnings of all runs, each once, at the field of the request that decides it."""
    found: dict[tuple[str, str], LaunchCaution] = {}
    for item in every:
        for caution in item.cautions:
            where = item.locate(caution.pointer)
            found.setdefault((where, caution.text), caution.model_copy(update={"pointer": where}))
    return list(found.values())


def _steps(catalog: Catalog, item: specs.Planned) -> int:
    return round(initial_weights.more_epochs(item) * -(-train_size(catalog, item.spec) // item.spec.batch_size))


def _memory(catalog: Catalog, spec: RunSpec) -> int | None:
    network = specs.network_of(catalog, spec)
    copies = cost_model.copies(
        catalog.find(RegularizerEntry, spec.regularizer.key), spec.regularizer.params, spec.lambda_
    )
    if network is None or copies is None:
        return None
    batch = training_notes.largest_part(batch_size(catalog, spec), spec)
    weights = 4 + (spec.ema_decay is not None) + (spec.early_stop is not None)
    return round(4 * (weights * network.parameters + batch * network.activations * copies))


def _largest(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max(known, default=None) if len(known) == len(sizes) else None


def _basis(paces: list[Pace]) -> Literal["measured", "calibrated", "mixed", "unknown"]:
    return _common(["unknown" if pace.rate is None else "measured" if pace.same else "calibrated" for pace in paces])


def _common(bases: Sequence[str]) -> Literal["measured", "calibrated", "mixed", "unknown"]:
    """Return what an estimate of all runs rests on, by what those of the runs rest on."""
    if "unknown" in bases:
        return "unknown"
    measured = sum(basis == "measured" for basis in bases)
    return "measured" if measured == len(bases) else "calibrated" if measured == 0 else "mixed"


def _explain(catalog: Catalog, planned: list[RunSpec], paces: list[Pace], capacity: Capacity) -> str:
    if all(pace.others for pace in paces):
        calibrated = "no run of this batch size has finished yet: estimated from runs of other batch sizes"
    else:
        counts = sorted({capacity.threads_of(catalog, spec) for spec in planned})
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
