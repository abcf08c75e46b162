"""The runs of a search with Optuna: whether its request is right, and the next trials with every seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.services import optuna_studies
from densitylab.backend.services.initial_weights import inherit
from densitylab.backend.services.optuna_trials import Trial
from densitylab.backend.services.search_runs import with_validation
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    MAX_RUNS_PER_EXPERIMENT,
    Choices,
    ExperimentRequest,
    FieldError,
    OptunaSearch,
    RunSpec,
    SearchParameter,
    pointer,
)
from densitylab.backend.shared.errors import InvalidField, InvalidRequest
from densitylab.backend.shared.store import experiments
from densitylab.backend.shared.store.experiments import StoredTrial

_FIXED = {
    "seed": "the seeds of the search decide",
    "dataset": "has to be the same for all trials, which are judged on the same images",
    "evaluations": "have to be the same for all trials, which are judged by them",
}


@dataclass(frozen=True)
class Batch:
    """The next trials, each with the runs of its seeds."""

    trials: list[list[specs.Planned]]  # none where no other combination is found
    refused: str  # a proposed combination that the spec refused, and why; "": there was none

    @property
    def runs(self) -> list[specs.Planned]:
        return [run for trial in self.trials for run in trial]


def first_runs(
    session: Session, catalog: Catalog, request: ExperimentRequest, search: OptunaSearch, base: RunSpec
) -> list[specs.Planned]:
    """Return the runs of the first trials.

    Args:
        base: the complete spec of the launch.

    Raises:
        InvalidRequest: a field of the search is wrong, or every first trial is refused.
        NotInstalled: Optuna is not installed.
    """
    results = {f"/search/objectives/{index}/result": item.result for index, item in enumerate(search.objectives)}
    spec = _shared_spec(request, with_validation(catalog, base, results))
    errors = [*_wrong_fields(catalog, request, search, base)] or [*_refused_values(session, catalog, search, spec)]
    if errors:
        raise InvalidRequest(errors)
    batch = next_trials(session, catalog, search, spec, [])
    if not batch.trials:
        detail = f"expected parameters that go together; {batch.refused}"
        raise InvalidField(detail, "/search/parameters")
    return batch.runs


def begin(
    session: Session,
    experiment_id: int,
    request: ExperimentRequest,
    search: OptunaSearch,
    planned: Sequence[specs.Planned],
    provenance: dict[str, Any],
) -> None:
    """Record the search with its first trials, in the transaction that inserts their runs."""
    spec = _shared_spec(request, planned[0].spec)
    experiments.begin_search(session, experiment_id, search, provenance, request.priority, spec=spec)
    record(session, experiment_id, search, planned, experiments.run_ids(session, experiment_id), [])


def _shared_spec(request: ExperimentRequest, run: RunSpec) -> dict[str, Any]:
    """Return the spec of the request with the evaluations of a run; other parts stay as they are, since their defaults
    may depend on a trial's parameters."""
    return {**request.spec, "evaluations": [item.model_dump() for item in run.evaluations]}


def next_trials(
    session: Session, catalog: Catalog, search: OptunaSearch, spec: dict[str, Any], trials: Sequence[Trial]
) -> Batch:
    """Return the next batch.

    Args:
        spec: that all trials share.
        trials: all so far, ended.

    Raises:
        NotInstalled: Optuna is not installed.
    """
    fill, refused = inherit(session, catalog), ""

    def make(parameters: dict[str, Any]) -> list[specs.Planned] | None:
        nonlocal refused
        grid = {path: [value] for path, value in parameters.items()}
        try:
            item = specs.plan(catalog, spec, grid, fill)[0]
        except InvalidRequest as invalid:
            values = ", ".join(f"{path} {value}" for path, value in parameters.items())
            refused = f"{values} was refused: {invalid.errors[0].detail}"
            return None
        return [replace(item, spec=item.spec.model_copy(update={"seed": seed})) for seed in search.seeds]

    return Batch(optuna_studies.propose(search, trials, make), refused)


def record(
    session: Session,
    experiment_id: int,
    search: OptunaSearch,
    planned: Sequence[specs.Planned],
    run_ids: Sequence[int],
    trials: Sequence[Trial],
) -> None:
    """Record a batch of trials in the transaction that inserts their runs.

    Args:
        planned: the runs, the seeds of a trial one after another.
        run_ids: their numbers.
        trials: those of earlier batches.
    """
    seeds = len(search.seeds)
    new = [
        StoredTrial(
            batch=max((trial.batch for trial in trials), default=-1) + 1,
            parameters={path: value for path, (_, value) in planned[start].point.items()},
            runs=list(run_ids[start : start + seeds]),
            reason=why(search, trials),
        )
        for start in range(0, len(planned), seeds)
    ]
    experiments.add_trials(session, experiment_id, new)


def why(search: OptunaSearch, trials: Sequence[Trial]) -> str:
    """Return how the batch after these trials is chosen."""
    informative = sum(trial.state in ("complete", "pruned") for trial in trials)
    if search.sampler == "random":
        return "Drawn at random."
    if informative < search.startup_trials:
        return f"Drawn at random: TPE begins after {search.startup_trials} trials."
    return f"Proposed by TPE from {informative} trials."


def _wrong_fields(
    catalog: Catalog, request: ExperimentRequest, search: OptunaSearch, base: RunSpec
) -> Iterator[FieldError]:
    """Yield what is wrong with the search in itself."""
    if request.sweep is not None:
        yield FieldError(pointer="/sweep", detail="expected no sweep: name its paths among the search's parameters")
    most = search.trials * len(search.seeds)
    if most > MAX_RUNS_PER_EXPERIMENT:
        detail = f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs; {search.trials} trials with {len(search.seeds)} "
        yield FieldError(pointer="/search/trials", detail=f"{detail}seeds are {most}")
    for index, goal in enumerate(search.objectives):
        if goal.result in [other.result for other in search.objectives[:index]]:
            yield FieldError(pointer=f"/search/objectives/{index}/result", detail="expected another result")
    for index, parameter in enumerate(search.parameters):
        yield from _wrong_parameter(parameter, search.parameters[:index], f"/search/parameters/{index}")
    if search.pruning is not None and len(search.objectives) > 1:
        yield FieldError(pointer="/search/pruning", detail="expected null: Optuna prunes with one objective alone")
    grouped = catalog.dataset(base.dataset.key, base.dataset.params).has_groups
    if search.pruning is not None and search.pruning.metric == "validation_worst_group" and not grouped:
        yield FieldError(pointer="/search/pruning/metric", detail="needs groups, which the data set does not have")


def _wrong_parameter(parameter: SearchParameter, before: Sequence[SearchParameter], at: str) -> Iterator[FieldError]:
    root = parameter.path.partition(".")[0]
    if root in _FIXED:
        yield FieldError(pointer=f"{at}/path", detail=f"expected a parameter of the training; {root} {_FIXED[root]}")
    for other in before:
        first, second = sorted((parameter.path + ".", other.path + "."), key=len)
        if second.startswith(first):
            yield FieldError(pointer=f"{at}/path", detail=f"expected another path than {other.path}, or one beside it")
    if isinstance(parameter, Choices):
        yield from _wrong_choices(parameter.choices, f"{at}/choices")
    elif parameter.low >= parameter.high:
        yield FieldError(pointer=f"{at}/high", detail=f"expected a number above low, which is {parameter.low:g}")
    elif parameter.log and parameter.low <= 0:
        yield FieldError(pointer=f"{at}/low", detail="expected a number above 0, for a logarithmic scale")
    elif parameter.log and parameter.step not in (None, 1):
        yield FieldError(pointer=f"{at}/step", detail="expected no step on a logarithmic scale")


def _wrong_choices(choices: Sequence[Any], at: str) -> Iterator[FieldError]:
    for index, choice in enumerate(choices):
        if not isinstance(choice, bool | int | float | str | None):
            yield FieldError(pointer=f"{at}/{index}", detail="expected a number, a text, true, false or null")
        elif choice in choices[:index]:
            yield FieldError(pointer=f"{at}/{index}", detail="expected a value that is not in the list before")


def _refused_values(
    session: Session, catalog: Catalog, search: OptunaSearch, spec: dict[str, Any]
) -> Iterator[FieldError]:
    """Yield the bounds and choices that the spec refuses. What goes wrong in another searched parameter is left to the
    trials, whose other values may go with it."""
    fill = inherit(session, catalog)
    for index, parameter in enumerate(search.parameters):
        others = [pointer("spec", *item.path.split(".")) for item in search.parameters if item is not parameter]
        refused: dict[str, str] = {}
        for name, value in _extremes(parameter).items():
            try:
                specs.plan(catalog, spec, {parameter.path: [value]}, fill)
            except InvalidRequest as invalid:
                own = [error.detail for error in invalid.errors if not error.pointer.startswith(tuple(others))]
                if own:
                    refused[name] = own[0]
        if len(refused) == len(_extremes(parameter)) and len(set(refused.values())) == 1:  # there is no such path
            refused = {"path": next(iter(refused.values()))}
        at = f"/search/parameters/{index}"
        yield from (FieldError(pointer=f"{at}/{name}", detail=detail) for name, detail in refused.items())


def _extremes(parameter: SearchParameter) -> dict[str, Any]:
    """Return the values to check, by the field that gives each."""
    if isinstance(parameter, Choices):
        return {f"choices/{index}": value for index, value in enumerate(parameter.choices)}
    return {"low": parameter.low, "high": parameter.high}
