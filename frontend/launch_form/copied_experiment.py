"""A copy of an experiment for the launch form: its request with the seeds and λ that were added later."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from densitylab.backend.shared.contracts import Experiment, ExperimentRequest, Origin, Run
from densitylab.frontend.analysis.formatting import counted, joined, readable
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.extra_axis import sweepable
from densitylab.frontend.launch_form.labels import COPY_OF, typed_labels
from densitylab.frontend.launch_form.sweeps import Method, Plan, build_sweep, form_plan, set_value
from densitylab.frontend.ui.widgets import numbers_text

_LONGEST_NAME = 200
_NAMED = 3  # runs of a sentence
_Point = tuple[str, float, int]  # regularizer, λ, seed


@dataclass(frozen=True)
class CopiedExperiment:
    """A request with the runs of an experiment, sentences on what it has less or more, and which of its name and its
    tags a user has typed."""

    request: ExperimentRequest
    differences: list[str]
    typed: frozenset[str]


def copied_experiment(experiment: Experiment, runs: Sequence[Run], catalog: Catalog) -> CopiedExperiment:
    """Return the copy; a search begins again as it was posted.

    Raises:
        ValueError: the form cannot draw the experiment.
    """
    labels = {"name": f"{COPY_OF}{experiment.name}"[:_LONGEST_NAME], "tags": experiment.tags, "notes": experiment.notes}
    posted = {**experiment.request, **labels}
    trained = [run for run in runs if run.origin is Origin.TRAINED]
    given = posted.get("spec") or {}
    if given.get("init_from") is not None and trained:
        # What the request left out is not the default, but what its runs took from the run that they start from
        spec = trained[0].spec.model_dump(mode="json")
        posted["spec"] = {**spec, **given, "init_from": spec["init_from"] | given["init_from"]}
    request = ExperimentRequest.model_validate(posted)
    typed = typed_labels(experiment.name, experiment.tags, request, catalog)
    differences = []
    if others := len(runs) - len(trained):
        differences.append(f"{counted(others, 'run')} that DensityLab has not trained cannot be copied.")
    if request.search is not None:
        return CopiedExperiment(request, [*differences, "The search begins anew: its runs are not copied."], typed)
    plan = form_plan(request)
    for addition in experiment.additions:
        plan = _with(plan, addition)
    options = sweepable(catalog, plan.spec)
    path = next((name for name in plan.grid if name in options), None)
    grid = {name: values for name, values in plan.grid.items() if name in ("lambda_", "seed", path)}
    for name, values in plan.grid.items():
        if name in grid:
            continue
        set_value(plan.spec, name, values[0])
        if len(values) > 1:
            differences.append(f"The form has one {readable(name.rpartition('.')[2])}, the first of the experiment's.")
    sweep = build_sweep(grid, plan.methods, path) if plan.methods else grid
    request = request.model_copy(update={"spec": plan.spec, "sweep": sweep})
    points = Counter((run.spec.regularizer.key, run.spec.lambda_, run.spec.seed) for run in trained)
    return CopiedExperiment(request, [*differences, *_differences(points, _points(plan, path), catalog)], typed)


def _with(plan: Plan, addition: Mapping[str, Any]) -> Plan:
    """Return the plan with the seeds or the λ of a request that added runs; as it is with others, which are no grid."""
    if addition.get("runs"):
        return plan
    seeds, lambdas = addition.get("seeds"), addition.get("lambdas")
    if seeds and not lambdas:
        return replace(plan, grid={**plan.grid, "seed": _joined(plan.grid["seed"], seeds)})
    if not lambdas or seeds:
        return plan
    varied = any(len(values) > 1 for values in (plan.grid["lambda_"], *(method.lambdas for method in plan.methods)))

    def more(values: list[float]) -> list[float]:
        return _joined(values, lambdas) if len(values) > 1 or not varied else values

    methods = [Method(method.component, more(method.lambdas)) for method in plan.methods]
    return replace(plan, grid={**plan.grid, "lambda_": more(plan.grid["lambda_"])}, methods=methods)


def _joined(values: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys([*values, *more]))


def _points(plan: Plan, path: str | None) -> Counter[_Point]:
    """Return how many runs the plan has of each regularizer, λ and seed."""
    main = Method(plan.spec["regularizer"], plan.grid["lambda_"])
    points = Counter[_Point]()
    for method in (main, *plan.methods):
        swept = path is not None and (method is main or not path.startswith("regularizer."))
        for lambda_ in method.lambdas:
            for seed in plan.grid["seed"]:
                points[method.component["key"], lambda_, seed] += len(plan.grid[path]) if path and swept else 1
    return points


def _differences(experiment: Counter[_Point], copy: Counter[_Point], catalog: Catalog) -> list[str]:
    sentences = []
    for points, words in (
        (experiment - copy, "of the experiment not in this copy"),
        (copy - experiment, "of this copy not in the experiment"),
    ):
        if points:
            named = [
                f"{catalog.label('regularizer', key)} λ = {numbers_text([lambda_])}, seed {joined([seed])}"
                for key, lambda_, seed in list(points)[:_NAMED]
            ]
            more = ", …" if len(points) > _NAMED else ""
            sentences.append(f"{counted(points.total(), 'run')} {words}: {'; '.join(named)}{more}.")
    return sentences
