"""Sweeps as the launch form draws them: lists of λ, several methods in one experiment, what a copy changes."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.shared.contracts import ExperimentRequest, RunSpec
from frontend.aggregate import flat

Grid = dict[str, list[Any]]


@dataclass(frozen=True)
class Method:
    """One more regularizer of the experiment, with weights of its own."""

    component: dict[str, Any]  # {key, params}
    lambdas: list[float]


@dataclass(frozen=True)
class Plan:
    """A request as the form draws it: a spec, one grid over it, and the methods that share the grid's seeds."""

    spec: dict[str, Any]  # with every default
    grid: Grid  # λ and the seed always, even where they have one value
    methods: list[Method]


def log_spaced(low: float, high: float, count: int, *, with_zero: bool) -> list[float]:
    """Numbers evenly spaced in their logarithm, both ends included, rounded to two digits; 0 first if asked.

    Raises:
        ValueError: the ends are not 0 < low < high, or `count` is below 2.
    """
    if not 0 < low < high:
        raise ValueError("the first value must be above 0 and below the last")
    if count < 2:
        raise ValueError("ask for 2 values or more")
    steps = [low * (high / low) ** (place / (count - 1)) for place in range(count)]
    values = dict.fromkeys(float(f"{value:.1e}") for value in steps)
    return [0.0, *values] if with_zero else list(values)


def drawn_from(request: ExperimentRequest) -> Plan:
    """The request in the form's terms.

    Raises:
        ValueError: its sweep has a shape that the form does not draw.
    """
    spec = RunSpec.model_validate(request.spec).model_dump(mode="json")
    grids = request.sweep if isinstance(request.sweep, list) else [request.sweep or {}]
    grid = copy.deepcopy(grids[0])
    if "regularizer" in grid:
        if len(grid["regularizer"]) != 1:
            raise ValueError("several regularizers in one grid")
        spec["regularizer"] = {"params": {}, **grid.pop("regularizer")[0]}
    grid.setdefault("lambda_", [spec["lambda_"]])
    grid.setdefault("seed", [spec["seed"]])
    methods = []
    for other in grids[1:]:
        rest = {name: values for name, values in other.items() if name not in ("regularizer", "lambda_")}
        shared = {name: values for name, values in grid.items() if name != "lambda_" and name in rest}
        seeds = other.get("seed", [spec["seed"]])
        if len(other.get("regularizer", [])) != 1 or rest != shared or seeds != grid["seed"]:
            raise ValueError("grids that differ in more than the regularizer and λ")
        methods.append(Method({"params": {}, **other["regularizer"][0]}, other.get("lambda_", [spec["lambda_"]])))
    return Plan(spec, grid, methods)


def sweep_of(grid: Grid, methods: Sequence[Method], path: str | None) -> Grid | list[Grid] | None:
    """The sweep of a request.

    Args:
        grid: lists by path; those of one value are in the spec already, and left out where there is one grid.
        methods: the others; each is combined with the grid's seeds.
        path: the further parameter that the grid varies; the methods take it too, unless it is the regularizer's.
    """
    if not methods:
        return {name: values for name, values in grid.items() if len(values) > 1} or None
    shared = {"seed": grid["seed"]}
    if path and not path.startswith("regularizer."):
        shared[path] = grid[path]
    return [grid, *({"regularizer": [method.component], "lambda_": method.lambdas, **shared} for method in methods)]


def runs_in(sweep: Grid | list[Grid] | None) -> int:
    """How many runs the sweep makes."""
    grids = sweep if isinstance(sweep, list) else [sweep or {}]
    return sum(math.prod(len(values) for values in grid.values()) for grid in grids)


def changes(before: ExperimentRequest, after: ExperimentRequest) -> list[tuple[str, str, str]]:
    """(path, old, new) of everything that decides the runs and differs, in the order of the spec."""
    old, new = _leaves(before), _leaves(after)
    return [(name, old.get(name, "—"), new.get(name, "—")) for name in dict.fromkeys([*old, *new])
            if old.get(name) != new.get(name)]


def _leaves(request: ExperimentRequest) -> dict[str, str]:
    plan = drawn_from(request)
    spec = {**plan.spec, "evaluations": {item["key"]: item["params"] or {"measured": True}
                                         for item in plan.spec["evaluations"] if item["key"] != "accuracy"}}
    leaves = {name: _text(value) for name, value in flat(spec).items() if name not in plan.grid}
    leaves.update({name: _text(values) for name, values in plan.grid.items()})
    for method in plan.methods:
        leaves[f"also {method.component['key']}"] = f"λ {_text(method.lambdas)}" + (
            f" {json.dumps(method.component['params'], sort_keys=True)}" if method.component["params"] else "")
    return leaves


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
