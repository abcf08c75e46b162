"""From a request to complete specs: expands sweeps, checks every field against the catalog, fills every default."""

import copy
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from backend.shared.catalog import Entry, UnknownKey, find
from backend.shared.contracts import (
    MAX_RUNS_PER_EXPERIMENT,
    Component,
    EvaluationSpec,
    FieldError,
    Flag,
    RunSpec,
)

COMPONENTS = ("dataset", "model", "regularizer", "schedule", "optimizer", "lr_schedule", "augmentation")


class InvalidRequest(ValueError):
    """Fields of a request are wrong; `errors` names each with a JSON pointer."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.pointer}: {error.detail}" for error in errors))


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def complete(raw: dict[str, Any], at: str = "/spec") -> RunSpec:
    """The spec with every default filled in. Raises InvalidRequest that names each wrong field below `at`."""
    try:
        spec = RunSpec.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(
            [FieldError(pointer=at + pointer(*item["loc"]), detail=item["msg"]) for item in error.errors()]
        ) from None
    errors: list[FieldError] = []
    entries: dict[str, Entry] = {}
    for kind in COMPONENTS:
        if kind == "augmentation" and spec.augmentation is None:
            spec.augmentation = Component(key=entries["dataset"].augmentation if "dataset" in entries else "none")
        part = getattr(spec, kind)
        entry, part.params = complete_params(kind, part.key, part.params, f"{at}/{kind}", errors)
        if entry:
            entries[kind] = entry
    check_evaluations(spec.evaluations, entries.get("dataset"), spec.model, f"{at}/evaluations", errors)
    if not any(item.key == "accuracy" for item in spec.evaluations):
        # Always measured; put in front after the check, so that pointers keep the request's positions
        spec.evaluations.insert(0, EvaluationSpec(key="accuracy", name="accuracy"))
    _check_together(spec, entries, at, errors)
    if errors:
        raise InvalidRequest(errors)
    return spec


def check_evaluations(
    evaluations: list[EvaluationSpec], dataset: Entry | None, model: Component, at: str, errors: list[FieldError]
) -> None:
    """Fills names and parameters in place; what is wrong goes into `errors`."""
    names: set[str] = set()
    for index, item in enumerate(evaluations):
        here = f"{at}/{index}"
        entry, item.params = complete_params("evaluation", item.key, item.params, here, errors)
        item.name = item.name or item.key
        if item.name in names:
            errors.append(FieldError(pointer=f"{here}/name", detail=f"{item.name!r} is named twice in this run"))
        if item.name == "accuracy" and item.key != "accuracy":
            errors.append(FieldError(pointer=f"{here}/name", detail="'accuracy' names the accuracy alone"))
        names.add(item.name)
        if entry and dataset:
            errors.extend(_impossible(entry, item.params, dataset, model, here))


def _impossible(
    entry: Entry, params: dict[str, Any], dataset: Entry, model: Component, at: str
) -> Iterator[FieldError]:
    """What a measure asks for that this data set and this model can't give."""
    needs = ((entry.needs_mask, dataset.has_mask, "a mask"), (entry.needs_groups, dataset.has_groups, "groups"))
    for needed, given, what in needs:
        if needed and not given:
            yield FieldError(
                pointer=f"{at}/key", detail=f"{entry.label} needs {what}, which {dataset.label} does not have"
            )
    for param in entry.params:
        value = params.get(param.name)
        if param.type != "component" or value is None:
            continue
        try:
            chosen = find(param.kind or "", value["key"])
        except (LookupError, TypeError):
            continue  # said already
        reason = unfit(chosen, model)
        if reason is not None:
            yield FieldError(pointer=f"{at}/params/{param.name}/key", detail=reason)
        shapes = [(item.channels, item.image_size) for item in (chosen, dataset)]
        if param.resized_by is not None and params.get(param.resized_by) is None and shapes[0] != shapes[1]:
            yield FieldError(
                pointer=f"{at}/params/{param.resized_by}",
                detail=f"{chosen.label} has images of another shape than {dataset.label} ({_shape(chosen)} against "
                       f"{_shape(dataset)}): state how to resize them",
            )


def _shape(dataset: Entry) -> str:
    height, width = dataset.image_size or (0, 0)
    return f"{dataset.channels} × {height} × {width}"


def unfit(attribution: Entry, model: Component) -> str | None:
    """Why the attribution method can't be had of that model; None where it can."""
    try:
        entry = find("model", model.key)
    except UnknownKey:
        return None  # no longer on offer
    if attribution.needs_convolutions and not entry.has_convolutions:
        return f"{attribution.label} needs a model with convolutions, which {entry.label} has not"
    activation = model.params.get("activation")
    if attribution.needs_activation and activation is not None and activation not in attribution.needs_activation:
        return (f"{attribution.label} needs the activation {' or '.join(attribution.needs_activation)}; the model has "
                f"{activation}")
    return None


def complete_params(
    kind: str, key: str, params: dict[str, Any], at: str, errors: list[FieldError]
) -> tuple[Entry | None, dict[str, Any]]:
    """(entry, parameters with defaults); what is wrong goes into `errors`."""
    try:
        entry = find(kind, key)
    except UnknownKey as unknown:
        errors.append(FieldError(pointer=f"{at}/key", detail=str(unknown)))
        return None, params
    for name in params:
        if entry.param(name) is None:
            offered = ", ".join(param.name for param in entry.params) or "none"
            errors.append(FieldError(
                pointer=f"{at}/params{pointer(_printable(name))}",
                detail=f"{key} has no parameter {_printable(name)!r}; it has: {offered}",
            ))
    filled: dict[str, Any] = {}
    for param in entry.params:
        where = f"{at}/params/{param.name}"
        value = params.get(param.name, copy.deepcopy(param.default))
        if param.type == "component" and not (value is None and param.optional):
            filled[param.name] = _nested(param.kind or "", value, where, errors)
            continue
        filled[param.name], wrong = param.check(value)
        if wrong:
            errors.append(FieldError(pointer=where, detail=wrong))
    for rule in entry.rules:
        if all(_lookup(filled, path) in values for path, values in rule.when.items()):
            for name, allowed in rule.allowed.items():
                if filled[name] not in allowed:
                    errors.append(FieldError(pointer=f"{at}/params/{name}", detail=rule.why))
    return entry, filled


def _nested(kind: str, value: Any, at: str, errors: list[FieldError]) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("key"), str) or set(value) - {"key", "params"}:
        errors.append(FieldError(pointer=at, detail=f"expected an object {{key, params}} of kind {kind}"))
        return value
    params = value.get("params", {})
    if not isinstance(params, dict):
        errors.append(FieldError(pointer=f"{at}/params", detail="expected an object"))
        return value
    _, filled = complete_params(kind, value["key"], params, at, errors)
    return {"key": value["key"], "params": filled}


def _check_together(spec: RunSpec, entries: dict[str, Entry], at: str, errors: list[FieldError]) -> None:
    """What only the combination of parts can get wrong."""
    dataset, model = entries.get("dataset"), entries.get("model")
    if dataset and model and dataset.image_size and model.min_image_size:
        height, width = dataset.image_size
        if min(height, width) < model.min_image_size:
            errors.append(FieldError(
                pointer=f"{at}/model/key",
                detail=f"{model.label} needs images of at least {model.min_image_size} pixels a side; "
                       f"{dataset.label} has {height}×{width}",
            ))
    if dataset and model and dataset.image_size and model.side_multiple_of:
        height, width = dataset.image_size
        divisor = spec.model.params.get(model.side_multiple_of)
        if isinstance(divisor, int) and divisor > 0 and (height % divisor or width % divisor):
            errors.append(FieldError(
                pointer=f"{at}/model/params/{model.side_multiple_of}",
                detail=f"expected a divisor of both sides of {dataset.label}, {height}×{width} pixels; got {divisor}",
            ))
    if dataset and dataset.train_size and spec.train_samples and spec.train_samples > dataset.train_size:
        errors.append(FieldError(
            pointer=f"{at}/train_samples",
            detail=f"expected at most {dataset.train_size}, the training images of {dataset.label}; "
                   f"got {spec.train_samples}",
        ))
    if dataset and spec.sampling == "group_balanced" and not dataset.has_groups:
        errors.append(FieldError(
            pointer=f"{at}/sampling", detail=f"group_balanced needs groups, which {dataset.label} does not have"
        ))
    regularizer = entries.get("regularizer")
    if spec.compile and spec.lambda_ and regularizer and regularizer.double_backward is not None:
        _check_compile(spec, regularizer, regularizer.double_backward, at, errors)


def _check_compile(
    spec: RunSpec, regularizer: Entry, when: dict[str, tuple[Any, ...]], at: str, errors: list[FieldError]
) -> None:
    if not all(spec.regularizer.params.get(name) in values for name, values in when.items()):
        return
    others = [
        f"{name} {' or '.join(str(choice) for choice in param.choices if choice not in values)}"
        for name, values in when.items() if (param := regularizer.param(name))
    ]
    errors.append(FieldError(
        pointer=f"{at}/compile",
        detail=f"torch.compile refuses double backward, by which {regularizer.label} is computed here: "
               + "; ".join([*(f"take {other}" for other in others), "or leave compile off"]),
    ))


def cautions(spec: RunSpec) -> list[Flag]:
    """What the catalog says that a run of this spec must carry."""
    data = spec.model_dump()
    return [
        Flag(key=caution.flag, text=caution.text)
        for kind in COMPONENTS
        for caution in find(kind, data[kind]["key"]).cautions
        if all(_lookup(data, path) in values for path, values in caution.when.items())
    ]


def _lookup(data: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    return data


@dataclass(frozen=True)
class Planned:
    """One run to come: its complete spec and what the sweep set in it."""

    spec: RunSpec
    assignment: dict[str, Any]


def plan(raw: dict[str, Any], sweep: Any) -> list[Planned]:
    """Every run of an experiment, in the order of the grids.

    Args:
        raw: the spec of the request, with or without defaults.
        sweep: None, a grid {dotted path: values}, or a list of grids.

    Raises:
        InvalidRequest: a field is wrong (the pointer names the spec's field, or the sweep's value that made it
            wrong), or the sweep makes more than 500 runs.
    """
    if sweep is None:
        return [Planned(spec=complete(raw), assignment={})]
    grids = sweep if isinstance(sweep, list) else [sweep]
    total = sum(_size(grid) for grid in grids)
    if total > MAX_RUNS_PER_EXPERIMENT:
        raise InvalidRequest([FieldError(
            pointer="/sweep", detail=f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs, the sweep makes "
                                     + (str(total) if total < 10**12 else "very many")
        )])
    planned: list[Planned] = []
    errors: dict[str, FieldError] = {}
    for number, grid in enumerate(grids):
        at = pointer("sweep", number) if isinstance(sweep, list) else "/sweep"
        for point in _points(grid):
            changed = copy.deepcopy(raw)
            try:
                for path, (index, value) in point.items():
                    _assign(changed, path, value, f"{at}{pointer(_printable(path))}", index)
                planned.append(Planned(
                    spec=complete(changed), assignment={path: value for path, (_, value) in point.items()}
                ))
            except InvalidRequest as invalid:
                for error in invalid.errors:
                    located = _locate(error, point, at)
                    errors.setdefault(located.pointer, located)
    if errors:
        raise InvalidRequest(list(errors.values()))
    return planned


def _size(grid: dict[str, list[Any]]) -> int:
    size = 1
    for values in grid.values():
        size *= len(values)
    return size


def _points(grid: dict[str, list[Any]]) -> Iterator[dict[str, tuple[int, Any]]]:
    for values in itertools.product(*(enumerate(values) for values in grid.values())):
        yield dict(zip(grid, values, strict=True))


def _assign(data: dict[str, Any], path: str, value: Any, at: str, index: int) -> None:
    *parents, last = path.split(".")
    node: Any = data
    for depth, part in enumerate(parents):
        if isinstance(node, dict):
            # Naming a parameter of a component that the spec leaves to its default keeps that default component
            if depth == 0 and part not in node and part in COMPONENTS:
                node[part] = RunSpec().model_dump()[part]
            node = node.setdefault(part, {})
    if not isinstance(node, dict):
        raise InvalidRequest([FieldError(
            pointer=f"{at}/{index}", detail=f"{_printable(path)!r} is not a path into the spec"
        )])
    node[last] = copy.deepcopy(value)


def _locate(error: FieldError, point: dict[str, tuple[int, Any]], at: str) -> FieldError:
    """Names the sweep's value where it is what made the field wrong."""
    for path, (index, _) in point.items():
        field = "/spec" + pointer(*path.split("."))
        value = f"{at}{pointer(_printable(path))}/{index}"
        if (error.pointer + "/").startswith(field + "/"):
            return FieldError(pointer=value + error.pointer[len(field):], detail=error.detail)
        if field.startswith(error.pointer + "/"):  # the path leads into what has no such inside
            return FieldError(pointer=value, detail=error.detail)
    return error


def _printable(text: str) -> str:
    """Hostile names are echoed in errors: bounded, and without what UTF-8 or a database cannot hold."""
    return text[:80].encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")


def spec_hash(spec: RunSpec) -> str:
    """The same for equal specs."""
    return content_hash(spec.model_dump())


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON form, 16 hex digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
