"""Expand a sweep into the complete specs of its runs."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import TypeAdapter

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    MAX_RUNS_PER_EXPERIMENT,
    FieldError,
    Flag,
    LaunchCaution,
    RunSpec,
    pointer,
)
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.specs.cautions import cautions
from densitylab.backend.shared.specs.complete import COMPONENTS, complete
from densitylab.backend.shared.specs.errors import printable
from densitylab.backend.shared.specs.usage import OptionalEntry, optional_entries, plugins

_SEED = TypeAdapter(Annotated[int, *RunSpec.model_fields["seed"].metadata]).validator


@dataclass(frozen=True)
class Planned:
    """A run to be launched: its complete spec, its warnings, and where the sweep set values in it."""

    spec: RunSpec
    flags: list[Flag] = field(default_factory=list)  # warnings of the catalog, as the run stores them
    first: int = 0  # index in the request of the spec's first evaluation: -1 where the accuracy was put in front
    optional: tuple[OptionalEntry, ...] = ()  # entries that a worker may lack
    cautions: tuple[LaunchCaution, ...] = ()  # the same, with their fields
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)  # for its provenance
    init_from: dict[str, Any] = field(default_factory=dict)  # the checkpoint that it starts from, for its provenance
    point: Mapping[str, tuple[int, Any]] = field(default_factory=dict)  # of the sweep: (index, value) by path
    grid: str = "/sweep"  # JSON pointer to the grid of the point
    training_seconds: float | None = None  # estimated
    evaluation_seconds: Sequence[float | None] = ()  # estimated, of the spec's evaluations; (): not known

    def locate(self, pointer_: str) -> str:
        """Return the pointer to the sweep's value where that value decides the spec's field; else the field's."""
        return _locate(pointer_, self.point, self.grid)


def plan_run(catalog: Catalog, raw: dict[str, Any]) -> Planned:
    """Return one run, complete. Raises InvalidRequest."""
    spec = complete(catalog, raw)
    asked = raw.get("evaluations")
    added = asked is not None and len(spec.evaluations) > len(asked)  # the accuracy, in front of the others
    first = -1 if added else 0
    optional = tuple(optional_entries(catalog, spec, first=first))
    warnings = tuple(cautions(catalog, spec))
    flags = [Flag(key=caution.key, text=caution.text) for caution in warnings]
    return Planned(spec, flags, first, optional, warnings, plugins(catalog, optional))


def with_seeds(catalog: Catalog, raw: dict[str, Any], seeds: Sequence[int]) -> list[Planned]:
    """Return a run for each seed, complete, of a spec that is validated once. Raises InvalidRequest."""
    planned = plan_run(catalog, raw)
    return [_with_seed(planned, seed) for seed in seeds]


def plan(
    catalog: Catalog,
    raw: dict[str, Any],
    sweep: Any,
    inherit: Callable[[dict[str, Any]], dict[str, Any]] = lambda raw: raw,
) -> list[Planned]:
    """Return every run of an experiment, in the order of the grids.

    Args:
        catalog: whose entries the spec and the sweep may name.
        raw: the spec of the request, with or without defaults.
        sweep: None, a grid {dotted path: values}, or a list of grids.
        inherit: (spec of a run) -> spec; fills in what the spec leaves to another run's.

    Raises:
        InvalidRequest: a field is wrong (the pointer names the spec's field, or the sweep's value that made it
            wrong), or the sweep makes more than 500 runs.
    """
    if sweep is None:
        return [plan_run(catalog, inherit(raw))]
    grids = sweep if isinstance(sweep, list) else [sweep]
    total = sum(_size(grid) for grid in grids)
    if total > MAX_RUNS_PER_EXPERIMENT:
        raise InvalidRequest(
            [
                FieldError(
                    pointer="/sweep",
                    detail=f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs, the sweep makes "
                    + (str(total) if total < 10**12 else "very many"),
                )
            ]
        )
    planned: list[Planned] = []
    errors: dict[str, FieldError] = {}
    for number, grid in enumerate(grids):
        at = pointer("sweep", number) if isinstance(sweep, list) else "/sweep"
        alike: dict[tuple[int, ...], Planned] = {}  # by the point without its seed
        for point in _points(grid):
            rest = tuple(index for path, (index, _) in point.items() if path != "seed")
            try:
                if rest in alike and _SEED.isinstance_python(seed := point["seed"][1], strict=True):
                    item = _with_seed(alike[rest], seed)
                else:
                    item = alike[rest] = plan_run(catalog, inherit(_assigned(raw, point, at)))
                located = tuple(replace(entry, pointer=_locate(entry.pointer, point, at)) for entry in item.optional)
                planned.append(replace(item, optional=located, point=point, grid=at))
            except InvalidRequest as invalid:
                for error in invalid.errors:
                    where = _locate(error.pointer, point, at)
                    errors.setdefault(where, FieldError(pointer=where, detail=error.detail))
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


def _with_seed(planned: Planned, seed: int) -> Planned:
    """Return the run with another seed, on which nothing else of it depends."""
    return replace(planned, spec=planned.spec.model_copy(update={"seed": seed}))


def _assigned(raw: dict[str, Any], point: Mapping[str, tuple[int, Any]], at: str) -> dict[str, Any]:
    """Return the spec with the values of a point of the sweep at `at`."""
    changed = copy.deepcopy(raw)
    for path, (index, value) in point.items():
        _assign(changed, path, value, f"{at}{pointer(printable(path))}", index)
    return changed


def _assign(data: dict[str, Any], path: str, value: Any, at: str, index: int) -> None:
    *parents, last = path.split(".")
    node: Any = data
    for depth, part in enumerate(parents):
        if isinstance(node, dict):
            # Naming a parameter of a component that the spec leaves to its default keeps that default component
            if depth == 0 and part not in node and part in COMPONENTS:
                node[part] = RunSpec().model_dump()[part]
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
    if not isinstance(node, dict):
        raise InvalidRequest(
            [FieldError(pointer=f"{at}/{index}", detail=f"{printable(path)!r} is not a path into the spec")]
        )
    node[last] = copy.deepcopy(value)


def _locate(pointer_: str, point: Mapping[str, tuple[int, Any]], at: str) -> str:
    """Return the pointer to the sweep's value where that value decides the spec's field; else the field's pointer."""
    for path, (index, _) in point.items():
        field_ = "/spec" + pointer(*path.split("."))
        value = f"{at}{pointer(printable(path))}/{index}"
        if (pointer_ + "/").startswith(field_ + "/"):
            return value + pointer_[len(field_) :]
        if field_.startswith(pointer_ + "/"):  # the path leads into something that has no such inside
            return value
    return pointer_
