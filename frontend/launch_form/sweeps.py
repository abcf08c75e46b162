"""Sweeps of the launch form: lists of λ, several regularizers in one experiment, differences between copies."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from densitylab.backend.shared.contracts import Component, ExperimentRequest, RunSpec
from densitylab.backend.shared.statistics.groups import flatten
from densitylab.frontend.ui.widgets import numbers_text

Grid = dict[str, list[Any]]
_MOST_SPACED = 50


@dataclass(frozen=True)
class Method:
    """A further regularizer of the experiment with its own λ."""

    component: dict[str, Any]  # {key, params}
    lambdas: list[float]


@dataclass(frozen=True)
class Plan:
    """A request in the form's terms: a spec, one grid over it, and further regularizers that share the grid's seeds."""

    spec: dict[str, Any]  # with every default
    grid: Grid  # λ and the seed always, even where they have one value
    methods: list[Method]


def log_spaced(low: float, high: float, count: float, *, with_zero: bool) -> list[float]:
    """Return log-spaced numbers with both ends, rounded to two digits; `with_zero` puts 0 in front.

    Raises:
        ValueError: the ends are not 0 < low < high, or `count` is no whole number from 2 to 50.
    """
    if not 0 < low < high:
        raise ValueError("the first value must be above 0 and below the last")
    if not (isinstance(count, int) and 2 <= count <= _MOST_SPACED):
        raise ValueError(f"choose 2 values or more, at most {_MOST_SPACED}")
    steps = [low * (high / low) ** (index / (count - 1)) for index in range(count)]
    values = dict.fromkeys(float(f"{value:.1e}") for value in steps)
    return [0.0, *values] if with_zero else list(values)


def form_plan(request: ExperimentRequest) -> Plan:
    """Return the request in the form's terms.

    Raises:
        ValueError: the form cannot draw the shape of its sweep.
    """
    spec = RunSpec.model_validate(request.spec).model_dump(mode="json")
    grids = request.sweep if isinstance(request.sweep, list) else [request.sweep or {}]
    grid = copy.deepcopy(grids[0])
    if "regularizer" in grid:
        if len(grid["regularizer"]) != 1:
            raise ValueError("several regularizers in one grid")
        spec["regularizer"] = _component(grid.pop("regularizer")[0])
    grid.setdefault("lambda_", [spec["lambda_"]])
    grid.setdefault("seed", [spec["seed"]] if request.search is None else list(request.search.seeds))
    methods = []
    for other in grids[1:]:
        rest = {name: values for name, values in other.items() if name not in ("regularizer", "lambda_")}
        shared = {name: values for name, values in grid.items() if name != "lambda_" and name in rest}
        seeds = other.get("seed", grid["seed"] if request.search else [spec["seed"]])
        if len(other.get("regularizer", [])) != 1 or rest != shared or seeds != grid["seed"]:
            raise ValueError("grids that differ in more than the regularizer and λ")
        methods.append(Method(_component(other["regularizer"][0]), other.get("lambda_", [spec["lambda_"]])))
    return Plan(spec, grid, methods)


def _component(value: Any) -> dict[str, Any]:
    """Return a component of a sweep, which the contract takes as any value. Raises ValueError if it is none."""
    return Component.model_validate(value).model_dump(mode="json")


def build_sweep(grid: Grid, methods: Sequence[Method], path: str | None) -> Grid | list[Grid] | None:
    """Return the sweep of a request.

    Args:
        grid: values by path. Without methods, paths with one value are left out: the spec has them.
        methods: the further regularizers; each is combined with the grid's seeds.
        path: the grid's further parameter; the methods sweep it too, unless it belongs to the regularizer.
    """
    if not methods:
        return {name: values for name, values in grid.items() if len(values) > 1} or None
    shared = {"seed": grid["seed"]}
    if path and not path.startswith("regularizer."):
        shared[path] = grid[path]
    others: list[Grid] = [{"regularizer": [m.component], "lambda_": m.lambdas, **shared} for m in methods]
    return [grid, *others]


def without_baselines(methods: Sequence[Method], lambdas: Sequence[float]) -> list[Method]:
    """Return the methods with λ = 0 at most once, and nowhere if it is among the `lambdas` of the main regularizer: a
    penalty of weight 0 has no part in a run, so that it is the same training for each of them."""
    kept: list[Method] = []
    trained = 0 in lambdas
    for item in methods:
        values = [value for value in item.lambdas if value != 0 or not trained]
        trained = trained or 0 in values
        if values:
            kept.append(Method(item.component, values))
    return kept


def set_value(spec: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path of a spec."""
    *parents, last = path.split(".")
    for part in parents:
        if spec.get(part) is None:  # a part that is left out, such as early stop
            spec[part] = {}
        spec = spec[part]
    spec[last] = value


def count_runs(sweep: Grid | list[Grid] | None) -> int:
    """Return the number of runs of the sweep."""
    grids = sweep if isinstance(sweep, list) else [sweep or {}]
    return sum(math.prod(len(values) for values in grid.values()) for grid in grids)


def changes(before: ExperimentRequest, after: ExperimentRequest) -> list[tuple[str, str, str]]:
    """Return (path, old, new) of each difference that affects the runs, in the order of the spec."""
    old, new = _leaves(before), _leaves(after)
    return [
        (name, old.get(name, "—"), new.get(name, "—"))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _leaves(request: ExperimentRequest) -> dict[str, str]:
    plan = form_plan(request)
    spec = {
        **plan.spec,
        "evaluations": {
            f"{_name(item)} on {item['split']} images": item["params"] or {"evaluated": True}
            for item in plan.spec["evaluations"]
            if item["key"] != "accuracy"
        },
    }
    leaves = {name: _text(value) for name, value in flatten(spec).items() if name not in plan.grid}
    leaves.update({name: _text(values) for name, values in plan.grid.items()})
    if request.search is not None:
        leaves.update(
            {f"search.{name}": _text(value) for name, value in request.search.model_dump().items() if name != "seeds"}
        )
    for method in plan.methods:
        leaves[f"also {method.component['key']}"] = f"λ {_text(method.lambdas)}" + (
            f" {json.dumps(method.component['params'], sort_keys=True)}" if method.component["params"] else ""
        )
    return leaves


def _name(evaluation: dict[str, Any]) -> str:
    """Return the name that the evaluation has on test images."""
    return str(evaluation["name"] or evaluation["key"]).removesuffix("_validation")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return numbers_text([value])
    return value if isinstance(value, str) else json.dumps(value)
