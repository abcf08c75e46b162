"""The runs of a search for λ: its first ones, and any λ with every seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.services.comparisons import plain_regularizers
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, RegularizerEntry, UnknownKey
from densitylab.backend.shared.contracts import (
    MAX_RUNS_PER_EXPERIMENT,
    BracketSearch,
    EvaluationSpec,
    ExperimentRequest,
    OptunaSearch,
    RunSpec,
)
from densitylab.backend.shared.errors import InvalidField
from densitylab.backend.shared.statistics import bracket
from densitylab.backend.shared.statistics.bracket import lambda_of


def first_runs(
    catalog: Catalog, request: ExperimentRequest, search: BracketSearch, base: Sequence[specs.Planned]
) -> list[specs.Planned]:
    """Return the first runs of a search: of each method three λ, and the baselines, with every seed.

    Args:
        base: the runs of the launch without a search, one for each method.

    Raises:
        InvalidRequest: the sweep varies λ or the seed, a method has no penalty, or the result is of no evaluation.
    """
    for grid in request.sweep if isinstance(request.sweep, list) else [request.sweep or {}]:
        for path, source in (("lambda_", "the search"), ("seed", "the seeds of the search")):
            if path in grid:
                raise InvalidField(f"expected no {path}, which {source} decides", "/sweep")
    plain = plain_regularizers(catalog)
    planned: dict[str, specs.Planned] = {}
    start = round(2 * math.log10(search.start))
    for method in base:
        if method.spec.regularizer.key in plain:
            detail = "expected a regularizer with a penalty; the baseline is added by itself"
            raise InvalidField(detail, "/spec/regularizer/key")
        spec = with_validation(catalog, method.spec, {"/search/result": search.result})
        highest = highest_position(catalog, spec)
        middle = min(start, highest - 1)
        constant = RunSpec().schedule.model_dump()
        baseline: dict[str, Any] = {"regularizer": {"key": min(plain)}, "schedule": constant, "lambda_": 0.0}
        for changes in (baseline, *({"lambda_": lambda_of(middle + step)} for step in (-1, 0, 1))):
            for item in specs.with_seeds(catalog, {**spec.model_dump(), **changes}, search.seeds):
                planned.setdefault(specs.spec_hash(item.spec), item)
    most = _max_runs(search, len(base), len(planned))
    if most > MAX_RUNS_PER_EXPERIMENT:
        raise InvalidField(
            f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs; {len(base)} methods with {search.max_candidates} λ and "
            f"{len(search.seeds)} seeds are up to {most}: fewer seeds, methods or max_candidates",
            "/search/max_candidates",
        )
    return list(planned.values())


def max_runs(request: ExperimentRequest, first: int) -> int:
    """Return the largest number of runs of a launch that begins with `first` runs."""
    if request.search is None:
        return first
    if isinstance(request.search, OptunaSearch):
        return request.search.trials * len(request.search.seeds)
    grids = request.sweep if isinstance(request.sweep, list) else [request.sweep or {}]
    return _max_runs(request.search, sum(math.prod(map(len, grid.values())) for grid in grids), first)


def _max_runs(search: BracketSearch, methods: int, first: int) -> int:
    """Of each method three λ are among the first runs; the others are baselines."""
    return first + (search.max_candidates - 3) * methods * len(search.seeds)


def validation_result(spec: RunSpec, result: str) -> str:
    """Return the name of the same result on validation images, of a run of the search."""
    name, _, value = result.partition(".")
    wanted = next(item for item in spec.evaluations if item.name == name)
    twin = _on_validation(spec.evaluations, wanted)
    return f"{twin.name if twin else name}.{value}"


def with_validation(catalog: Catalog, spec: RunSpec, results: Mapping[str, str]) -> RunSpec:
    """Return the spec with its accuracy and the evaluations of the results on validation images too.

    Args:
        results: by the JSON pointer to where the request names each.

    Raises:
        InvalidField: a result is of no evaluation of the spec.
    """
    wanted = [next(item for item in spec.evaluations if (item.key, item.split) == ("accuracy", "test"))]
    for at, result in results.items():
        named = next((item for item in spec.evaluations if item.name == result.partition(".")[0]), None)
        if named is None:
            names = ", ".join(str(item.name) for item in spec.evaluations)
            raise InvalidField(f"expected a result of an evaluation of the spec ({names}); got {result!r}", at)
        wanted.append(named)
    evaluations = list(spec.evaluations)
    for item in wanted:
        if _on_validation(evaluations, item) is None:
            twin = {"key": item.key, "params": item.params, "split": "validation", "name": f"{item.name}_validation"}
            evaluations.append(EvaluationSpec.model_validate(twin))
    return specs.plan_run(catalog, spec.model_copy(update={"evaluations": evaluations}).model_dump()).spec


def _on_validation(evaluations: Sequence[EvaluationSpec], wanted: EvaluationSpec) -> EvaluationSpec | None:
    same = (item for item in evaluations if item.split == "validation" and item.key == wanted.key)
    return next((item for item in same if item.params == wanted.params), None)


def highest_position(catalog: Catalog, spec: RunSpec) -> float:
    """Return the largest position, in half decades, that the spec's regularizer allows."""
    try:
        largest = catalog.find(RegularizerEntry, spec.regularizer.key).largest_lambda
    except UnknownKey:
        largest = None  # no longer installed
    return bracket.HIGHEST if largest is None else math.floor(2 * math.log10(largest) + 1e-9)
