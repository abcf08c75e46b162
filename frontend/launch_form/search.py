"""The launch form's searches, in place of lists of λ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import BracketSearch, CatalogEntry, ExperimentRequest, Search
from densitylab.frontend.analysis.formatting import readable, result_label
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.optuna_search import SearchResult, draw_optuna
from densitylab.frontend.ui.number_field import number_field

_KINDS = {"bracket": "λ, by half decades", "optuna": "any parameters, with Optuna"}


def draw_search(
    form: FormContext, request: ExperimentRequest, spec: Mapping[str, Any], seeds: Sequence[int]
) -> tuple[bool, Search | None]:
    """Draw the switch and the settings of a search; return whether it is on, and the search, None where it is not
    complete.

    Args:
        request: what the widgets start with.
        spec: what the form shows now, with its evaluations as {key, params}.
        seeds: those chosen in the form.
    """
    given = request.search
    wanted = st.toggle(
        "Search",
        given is not None,
        key=f"{form.key}/search",
        persist_state="page",
        help="In place of lists of values: the results decide what is trained next, by means over the seeds on "
        "validation images.",
    )
    form.errors.show("/search")
    if not wanted:
        return False, None
    kind = st.segmented_control(
        "Search for",
        list(_KINDS),
        default=given.kind if given else "bracket",
        required=True,
        key=f"{form.key}/search/kind",
        persist_state="page",
        format_func=lambda name: _KINDS[name],
    )
    dataset = form.catalog.entry("dataset", spec["dataset"]["key"])
    results = _results(form, spec["evaluations"], grouped=dataset is None or dataset.has_groups)
    if kind == "optuna":
        return True, draw_optuna(form, given if given and given.kind == "optuna" else None, spec, results, seeds)
    bracket = given if given and given.kind == "bracket" else None
    start = _first_lambda(form.catalog.entry("regularizer", spec["regularizer"]["key"]))
    return True, _draw_bracket(form, bracket, results, seeds, start)


def _results(form: FormContext, evaluations: Sequence[Mapping[str, Any]], grouped: bool) -> list[SearchResult]:
    """Return the results of the chosen evaluations that are better one way."""
    return [
        SearchResult(
            f"{item.get('name') or item['key']}.{metric.name}",
            result_label(f".{metric.name}", item["key"], item["params"], form.catalog)
            + (f" ({readable(item['name'])})" if item.get("name") else ""),
            metric.higher_is_better,
        )
        for item in evaluations
        if item.get("split", "test") == "test" and (entry := form.catalog.entry("evaluation", item["key"])) is not None
        for metric in entry.metrics
        if metric.higher_is_better is not None and (grouped or not metric.needs_groups)
    ]


def _first_lambda(entry: CatalogEntry | None) -> float:
    """Return the middle of the λ of a first sweep, to one digit."""
    around = entry.first_lambdas if entry is not None else []
    return float(f"{math.sqrt(around[0] * around[-1]):.1g}") if around else 0.1


def _draw_bracket(
    form: FormContext,
    given: BracketSearch | None,
    results: Sequence[SearchResult],
    seeds: Sequence[int],
    start: float,
) -> BracketSearch | None:
    """Draw the settings of a search by half decades, which begins at λ = `start` unless `given` says otherwise."""
    st.caption(
        "Up until the accuracy budget is crossed, and down until the best λ within it has a smaller neighbour; every "
        "regularizer gets the same number of λ."
    )
    labels = {result.name: result.label for result in results}
    if not labels:
        form.errors.refuse(
            "/search", "choose an evaluation, such as an attack: the search optimises one of its results"
        )
        return None
    cells = st.columns([3, 1, 1, 1])
    names = list(labels)
    result = cells[0].selectbox(
        "Best",
        names,
        names.index(given.result) if given and given.result in names else 0,
        format_func=lambda name: labels[name],
        key=f"{form.key}/search/result",
        persist_state="page",
        help="The result to optimise",
    )
    with cells[1]:
        budget = number_field(
            "Accuracy budget, points",
            100 * (given.accuracy_budget if given else 0.02),
            step=0.5,
            key=f"{form.key}/search/budget",
            help="Percentage points of validation accuracy that a λ may lose against the baseline",
        )
    with cells[2]:
        first = number_field(
            "First λ",
            given.start if given else start,
            key=f"{form.key}/search/start",
            help="The middle of the first three",
        )
    with cells[3]:
        most = number_field(
            "λ at most",
            given.max_candidates if given else 12,
            key=f"{form.key}/search/most",
            whole=True,
            help="Largest number of λ for one regularizer",
        )
    for field in ("result", "accuracy_budget", "start", "max_candidates", "seeds"):
        form.errors.show(f"/search/{field}")
    with form.errors.of_contract("/search"):
        return BracketSearch(
            kind="bracket",
            result=result,
            accuracy_budget=budget / 100,
            start=first,
            seeds=list(seeds),
            max_candidates=most,
        )
    return None
