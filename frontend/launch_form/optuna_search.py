"""The launch form's search with Optuna: objectives, the ranges of parameters, and how trials are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import MedianPruning, OptunaSearch, SearchObjective, SearchParameter
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.parameter_range import draw_range, searchable
from densitylab.frontend.ui.number_field import number_field

_SAMPLERS = {"tpe": "TPE", "random": "at random"}
MAX_OBJECTIVES = 3


@dataclass(frozen=True)
class SearchResult:
    """A result that a search can optimise."""

    name: str  # "<evaluation>.<value>"
    label: str
    higher: bool


_ACCURACY = SearchResult("accuracy.accuracy", "Accuracy", True)  # every run has it


def draw_optuna(
    form: FormContext,
    given: OptunaSearch | None,
    spec: Mapping[str, Any],
    results: Sequence[SearchResult],
    seeds: Sequence[int],
) -> OptunaSearch | None:
    """Draw the settings; return the search, None while something is missing.

    Args:
        given: what the widgets start with.
        spec: what the form shows now.
        results: of the chosen evaluations.
        seeds: those chosen in the form.
    """
    objectives = _draw_objectives(form, given, results)
    parameters = _draw_parameters(form, given, spec)
    cells = st.columns(4)
    with cells[0]:
        trials = number_field(
            "Trials",
            given.trials if given else 30,
            key=f"{form.key}/search/trials",
            whole=True,
            help="Number of combinations, each trained with all seeds",
        )
    with cells[1]:
        parallel = number_field(
            "At once",
            given.parallel if given else 4,
            key=f"{form.key}/search/parallel",
            whole=True,
            help="The next trials are proposed when all of these have ended",
        )
    sampler = cells[2].selectbox(
        "Proposals",
        list(_SAMPLERS),
        list(_SAMPLERS).index(given.sampler) if given else 0,
        format_func=lambda name: _SAMPLERS[name],
        key=f"{form.key}/search/sampler",
        persist_state="page",
        help="The tree-structured Parzen estimator begins after ten trials drawn at random",
    )
    prune = cells[3].toggle(
        "Prune",
        bool(given and given.pruning),
        disabled=len(objectives) > 1,
        key=f"{form.key}/search/prune",
        persist_state="page",
        help="Stop a training whose validation accuracy falls behind the median of earlier trials. With one objective "
        "alone; a penalty that costs accuracy early is stopped too.",
    )
    for field in ("trials", "parallel", "seeds", "sampler", "pruning"):
        form.errors.show(f"/search/{field}")
    if not objectives or not parameters:
        return None
    values: dict[str, Any] = given.model_dump(include={"sampler_seed", "startup_trials"}) if given else {}
    pruning = (given.pruning if given else None) or MedianPruning()
    with form.errors.of_contract("/search"):
        return OptunaSearch(
            kind="optuna",
            objectives=objectives,
            parameters=parameters,
            trials=trials,
            parallel=parallel,
            seeds=list(seeds),
            sampler=sampler,  # type: ignore[arg-type]
            pruning=pruning if prune and len(objectives) == 1 else None,
            **values,
        )
    return None


def _draw_objectives(
    form: FormContext, given: OptunaSearch | None, results: Sequence[SearchResult]
) -> list[SearchObjective]:
    offered = {result.name: result for result in [*results, _ACCURACY]}
    before = [goal.result for goal in given.objectives if goal.result in offered] if given else []
    chosen = st.multiselect(
        "Objectives",
        list(offered),
        before or list(offered)[:1],
        format_func=lambda name: offered[name].label,
        max_selections=MAX_OBJECTIVES,
        key=f"{form.key}/search/objectives",
        persist_state="page",
        help="Results to optimise; of several the Pareto front is searched",
        select_all=False,
    )
    form.errors.show("/search/objectives")
    if not chosen:
        form.errors.refuse("/search/objectives", "choose at least one result")
    return [
        SearchObjective(result=name, direction="maximize" if offered[name].higher else "minimize") for name in chosen
    ]


def _draw_parameters(
    form: FormContext, given: OptunaSearch | None, spec: Mapping[str, Any]
) -> list[SearchParameter] | None:
    options = searchable(form, spec)
    before = {item.path: item for item in given.parameters} if given else {}
    chosen = st.multiselect(
        "Parameters",
        list(options),
        [path for path in before if path in options] or ["lambda_"],
        format_func=lambda path: options[path].label,
        key=f"{form.key}/search/parameters",
        persist_state="page",
        help="What the search varies; everything else is as in the form",
        select_all=False,
    )
    form.errors.show("/search/parameters")
    if missing := [path for path in before if path not in options]:
        st.warning(f"The form has no row for {', '.join(missing)}: left out.", icon=":material/warning:")
    if not chosen:
        form.errors.refuse("/search/parameters", "choose at least one parameter")
    drawn = [draw_range(form, index, options[path], before.get(path)) for index, path in enumerate(chosen)]
    return None if any(item is None for item in drawn) else [item for item in drawn if item is not None]
