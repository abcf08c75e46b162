"""Runs that start from other runs: what they inherit, what is refused, and what a launch will do, in sentences."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from math import floor
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from densitylab.backend.services import frozen_layers
from densitylab.backend.shared import parameter_patterns, specs
from densitylab.backend.shared.artifacts import checksum
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, LrScheduleEntry, ModelEntry, ScheduleEntry
from densitylab.backend.shared.contracts import FieldError, InitFrom, ModelInterface, Origin, Run, RunSpec, Status
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.store import metrics, run_artifacts, runs

_FREE = {"epochs", "evaluations", "device", "init_from"}  # fields in which a continued run may differ
_AT = "/spec/init_from/run"
_STOPPED = {
    Status.FAILED: ", which failed after {:g} epochs",
    Status.CANCELLED: ", which was cancelled after {:g} epochs",
}
_WEIGHTS = 'to change it, start from its weights: init_from.mode "weights"'


def inherit(session: Session, catalog: Catalog) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that fills in what the spec of a run leaves out, from the run that it starts from: everything,
    if it continues that run, else the interface."""
    known: dict[int, Run | None] = {}

    def fill(raw: dict[str, Any]) -> dict[str, Any]:
        if raw.get("init_from") is None:
            return raw
        try:
            given = RunSpec.model_validate(raw)
        except ValidationError:
            return raw  # the spec's own check says so
        init_from = given.init_from
        if init_from is None:
            return raw
        if init_from.run not in known:
            known[init_from.run] = runs.get(session, init_from.run)
        source = known[init_from.run]
        if source is None:
            return raw
        if init_from.mode == "continue":
            kept = _of_training(source.spec.init_from) | raw["init_from"]
            return {**source.spec.model_dump(), **raw, "init_from": kept}
        interface = _interface(catalog, source.spec, given.dataset.key)
        return raw if interface is None else {"interface": interface.model_dump(), **raw}

    return fill


def with_sources(
    session: Session, catalog: Catalog, planned: Sequence[specs.Planned], *, lock: bool = False
) -> list[specs.Planned]:
    """Return the runs, each with the checkpoint that it starts from, if it starts from another run's.

    Args:
        session: of a write transaction, if `lock`.
        catalog: that has the runs' entries.
        planned: the runs of a launch.
        lock: keep the other runs from being deleted until the end of the transaction.

    Raises:
        InvalidRequest: a run to start from does not exist, has not ended or has no usable checkpoint; or the spec of a
            continued run differs from that run's.
    """
    sources: dict[int, Run] = {}
    for run_id in sorted({item.spec.init_from.run for item in planned if item.spec.init_from is not None}):
        source = runs.get(session, run_id) if not lock or runs.lock(session, run_id) else None
        if source is not None:
            sources[run_id] = source
    errors: dict[str, FieldError] = {}
    resolved = []
    for item in planned:
        init_from = item.spec.init_from
        if init_from is not None:
            source = sources.get(init_from.run)
            about = {} if source is None else _about(session, source, init_from)
            for error in _errors(session, catalog, item.spec, init_from, source, about):
                where = item.locate(error.pointer)
                errors.setdefault(where, FieldError(pointer=where, detail=error.detail))
            item = replace(item, init_from=about)
        resolved.append(item)
    if errors:
        raise InvalidRequest(list(errors.values()))
    return resolved


def more_epochs(item: specs.Planned) -> float:
    """Return the epochs that a run will train: the further ones, if it continues another run."""
    init_from = item.spec.init_from
    done = item.init_from["epochs"] if init_from is not None and init_from.mode == "continue" else 0
    return item.spec.epochs - done


def notes(session: Session, catalog: Catalog, planned: Sequence[specs.Planned]) -> list[str]:
    """Return what runs will take from the runs that they start from, each sentence once."""
    sentences: dict[str, None] = {}
    for item in planned:
        init_from = item.spec.init_from
        source = runs.get(session, init_from.run) if init_from is not None else None
        if init_from is not None and source is not None:
            of_mode = _continue_notes if init_from.mode == "continue" else _weights_notes
            sentences |= dict.fromkeys(of_mode(catalog, item, init_from, source))
            if init_from.mode == "weights" and init_from.freeze:
                names = frozen_layers.parameter_names(session, catalog, item.spec, source)
                sentences[_freeze_note(names, init_from.freeze)] = None
    return list(sentences)


def _interface(catalog: Catalog, source: RunSpec, key: str) -> ModelInterface | None:
    """Return the interface that a network of the source has on the data set: without its outputs and their order, which
    belong to the source's data set, on another one; None where the images or the number of classes do not fit."""
    if source.interface is None or source.dataset.key == key:
        return source.interface
    shapes = [_channels_and_classes(catalog, name) for name in (source.dataset.key, key)]
    if None in shapes or shapes[0] != shapes[1]:
        return None
    return source.interface.model_copy(update={"outputs": None, "class_order": None})


def _about(session: Session, source: Run, init_from: InitFrom) -> dict[str, Any]:
    """Return what provenance says of the source; empty without a checkpoint."""
    stored = run_artifacts.artifact(session, source.id, run_artifacts.CHECKPOINT)
    if stored is None:
        return {}
    return {
        "run": source.id,
        "mode": init_from.mode,
        "step": stored.step,
        "epochs": _epochs(session, source, stored.step) if source.origin == Origin.TRAINED else None,
        "sha256": checksum(stored.location),
    }


def _epochs(session: Session, source: Run, step: int | None) -> float | None:
    """Return the epochs that a run had trained at a step."""
    (loss,) = metrics.read(session, source.id, ["loss"], max_points=1)
    if loss.points and step is not None:
        return round(step * loss.points[-1].epoch / loss.points[-1].step, 4)
    return float(source.spec.epochs) if source.status == Status.SUCCEEDED else None


def _errors(
    session: Session,
    catalog: Catalog,
    spec: RunSpec,
    init_from: InitFrom,
    source: Run | None,
    about: dict[str, Any],
) -> Iterator[FieldError]:
    if source is None:
        yield FieldError(pointer=_AT, detail=f"there is no run {init_from.run}")
    elif not source.status.final:
        yield FieldError(pointer=_AT, detail=f"run {source.id} is {source.status.value}: wait until it has ended")
    elif not about:
        yield FieldError(pointer=_AT, detail=f"run {source.id} has no checkpoint: name one that has trained")
    elif init_from.mode == "continue":
        yield from _continue_errors(catalog, spec, init_from, source, about["epochs"])
    elif init_from.freeze:
        names = frozen_layers.parameter_names(session, catalog, spec, source)
        if (problem := frozen_layers.problem(names, init_from.freeze)) is not None:
            yield FieldError(pointer="/spec/init_from/freeze", detail=problem)


def _continue_errors(
    catalog: Catalog, spec: RunSpec, init_from: InitFrom, source: Run, done: float | None
) -> Iterator[FieldError]:
    if source.origin != Origin.TRAINED or done is None:
        yield FieldError(
            pointer="/spec/init_from/mode",
            detail=f"run {source.id} was not trained here, so it has weights but no state of a training to continue: "
            'start from its weights, mode "weights"',
        )
        return
    if source.status == Status.SUCCEEDED and source.spec.early_stop is not None and done < source.spec.epochs:
        yield FieldError(
            pointer="/spec/init_from/mode",
            detail=f"run {source.id} stopped early after {done:g} epochs, and would stop again at once: start from its "
            'weights, mode "weights"',
        )
        return
    if spec.epochs < (least := floor(done) + 1):
        yield FieldError(
            pointer="/spec/epochs",
            detail=f"expected at least {least}: run {source.id} has trained {done:g} epochs, and these count; "
            f"got {spec.epochs}",
        )
    if init_from.head == "new":
        yield FieldError(pointer="/spec/init_from/head", detail="a continued run keeps its head")
    before = _completed(catalog, source.spec)
    for path, old, new in _differences(before, spec.model_dump(exclude=_FREE)):
        yield FieldError(
            pointer="/spec/" + "/".join(path),
            detail=f"run {source.id} has {_text(old)} here, and a run that continues it keeps that; got {_text(new)}; "
            + _WEIGHTS,
        )
    for path, old, new in _differences(_of_training(source.spec.init_from), _of_training(init_from)):
        yield FieldError(
            pointer="/spec/init_from/" + "/".join(path),
            detail=f"run {source.id} has {_text(old)} here, and a run that continues it keeps that; got {_text(new)}",
        )


def _completed(catalog: Catalog, spec: RunSpec) -> dict[str, Any]:
    """Return a stored spec with the parameters that its components have got since."""
    with suppress(InvalidRequest):  # of older rules: compared as it is
        spec = specs.complete(catalog, spec.model_dump())
    return spec.model_dump(exclude=_FREE)


def _of_training(init_from: InitFrom | None) -> dict[str, Any]:
    """Return what determines the training after the start."""
    if init_from is None:
        return {"freeze": [], "head_learning_rate_factor": None}
    return {"freeze": init_from.freeze, "head_learning_rate_factor": init_from.head_learning_rate_factor}


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield (path, old, new) of each leaf that differs; of components with other keys, the key alone."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield path, old, new
    elif old.get("key") != new.get("key"):
        yield (*path, "key"), old.get("key"), new.get("key")
    else:
        for name in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(name), new.get(name), (*path, name))


def _text(value: Any) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# ---- sentences ----


def _continue_notes(catalog: Catalog, item: specs.Planned, init_from: InitFrom, source: Run) -> Iterator[str]:
    spec, done = item.spec, item.init_from["epochs"]
    stopped = _STOPPED.get(source.status, "").format(done)
    yield (
        f"Continues run {source.id}{stopped}, from its full state: {more_epochs(item):g} more epochs, up to epoch "
        f"{spec.epochs}. Its curves are copied, and go on where they ended."
    )
    rate = catalog.find(LrScheduleEntry, spec.lr_schedule.key)
    weight = catalog.find(ScheduleEntry, spec.schedule.key)
    stretched = [
        f"the schedule of {name} ({entry.label})"
        for name, entry, params in (
            ("the learning rate", rate, spec.lr_schedule.params),
            ("λ", weight, spec.schedule.params),
        )
        if entry.stretched_by is None or any(params.get(param) for param in entry.stretched_by)
    ]
    if stretched:
        yield (
            f"Stretched to {spec.epochs} epochs: {' and '.join(stretched)}. From here it is as after "
            f"{done:g} of {spec.epochs} epochs, so the run differs from one of {spec.epochs} epochs at once."
        )
    else:
        yield (
            "Learning rate and λ go on as they were: on a CPU the run equals one of "
            f"{spec.epochs} epochs at once, bit for bit."
        )
    if spec.early_stop is not None:
        yield "Early stopping goes on: the best epoch so far counts, and so do the epochs since."


def _weights_notes(catalog: Catalog, item: specs.Planned, init_from: InitFrom, source: Run) -> Iterator[str]:
    spec = item.spec
    after = "" if item.init_from["epochs"] is None else f" after {item.init_from['epochs']:g} epochs"
    yield (
        f"Starts from the weights of run {source.id}{after}: those whose names and shapes fit are loaded; optimizer, "
        "schedules and curves begin anew."
    )
    if source.spec.model.key != spec.model.key:
        own, other = (_label(catalog, ModelEntry, run.model.key) for run in (spec, source.spec))
        yield (
            f"Run {source.id} is of another network, {other} instead of {own}: the run fails if fewer than half of the "
            "weights fit."
        )
    classes = [_classes(catalog, run.dataset.key) for run in (spec, source.spec)]
    if init_from.head == "new":
        yield "The last linear layer is drawn anew."
    elif None not in classes and classes[0] != classes[1]:
        outcome = "its head does not fit, so the run fails" if init_from.head == "keep" else "the head is drawn anew"
        yield f"Run {source.id} has {classes[1]} classes, this one {classes[0]}: {outcome}."
    interface, taken = source.spec.interface, _interface(catalog, source.spec, spec.dataset.key)
    if interface is not None and taken is not None and taken == spec.interface:
        same = taken.class_order == interface.class_order
        order = "" if same else ", but no order of outputs, as its data set is another"
        yield (
            f"Has the `interface` of run {source.id}, by which images are normalised and resized{order}; "
            '`"interface": null` takes what the data set has.'
        )
    elif interface != spec.interface:
        yield (
            f"Run {source.id} has another `interface`: its network got images that were normalised or resized in "
            "another way than this run's."
        )
    if init_from.head_learning_rate_factor is not None:
        yield f"The last linear layer learns at {init_from.head_learning_rate_factor:g} times the learning rate."


def _freeze_note(names: list[str] | None, patterns: list[str]) -> str:
    which = f"parameters that match {', '.join(patterns)}, and the statistics of their batch norms."
    if names is None:
        return f"Not trained: {which} The run fails if a pattern matches none."
    return f"Not trained: {len(parameter_patterns.matching(names, patterns))} of {len(names)} parameters, {which}"


def _label(catalog: Catalog, kind: type[ModelEntry], key: str) -> str:
    entry = catalog.by_kind[kind.kind].get(key)
    return key if entry is None else entry.label


def _classes(catalog: Catalog, key: str) -> int | None:
    entry = catalog.by_kind[DatasetEntry.kind].get(key)
    return entry.num_classes if isinstance(entry, DatasetEntry) else None


def _channels_and_classes(catalog: Catalog, key: str) -> tuple[int, int] | None:
    entry = catalog.by_kind[DatasetEntry.kind].get(key)
    if not isinstance(entry, DatasetEntry) or entry.channels is None or entry.num_classes is None:
        return None
    return entry.channels, entry.num_classes
