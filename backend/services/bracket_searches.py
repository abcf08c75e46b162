"""Searches for λ: what the results so far call for, by the rule of half decades.

What comes next is a function of the experiment's runs alone, so a search that is interrupted at any moment goes on as
if it had not been.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.services.comparisons import grouped
from densitylab.backend.services.experiments import ensure_prepared
from densitylab.backend.services.initial_weights import with_sources
from densitylab.backend.services.search_pace import seconds_left
from densitylab.backend.services.search_runs import highest_position
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    BracketSearch,
    Run,
    SearchCandidate,
    SearchMethod,
    SearchObjective,
    SearchProgress,
    Status,
)
from densitylab.backend.shared.statistics import bracket
from densitylab.backend.shared.statistics.bracket import Next, Tried, lambda_of
from densitylab.backend.shared.statistics.groups import Group, differing_settings
from densitylab.backend.shared.statistics.selection import methods, validation_accuracy
from densitylab.backend.shared.store import experiments, runs
from densitylab.backend.shared.store.experiments import StoredSearch

_STEPS_PER_HALF_DECADE = 64  # a λ is rounded to three digits; between these steps it is another one


def take_step(
    session: Session, catalog: Catalog, experiment_id: int, rule: BracketSearch, stored: StoredSearch
) -> str | None:
    """Insert the runs of the next λ.

    Args:
        experiment_id: of a locked experiment.

    Returns:
        "" where runs were inserted; None where the search waits; else why it is finished.

    Raises:
        InvalidRequest, NotPrepared: the next runs cannot be launched.
    """
    state = _read(session, catalog, experiment_id, rule, stored)
    wanted = [(method, step) for method, step in state.steps if step is not None and not step.done]
    if wanted:
        new = _ready(session, catalog, wanted, rule.seeds)
        lambdas = [[lambda_of(position) for position in step.half_decades] for _, step in wanted]
        made = {"search": {"lambdas": lambdas, "reasons": [step.reason for _, step in wanted]}}
        owner = Caller(stored.owner or LOCAL.name, stored.owner_token)
        experiments.add_runs(session, experiment_id, made, new, stored.provenance, stored.priority, owner)
        return ""
    waits = any(step is None for _, step in state.steps) or not state.steps
    return None if waits else "Every method is done."


def _ready(
    session: Session, catalog: Catalog, wanted: Sequence[tuple["_Method", Next]], seeds: Sequence[int]
) -> list[specs.Planned]:
    """Return the runs of the next λ, checked as those of a launch."""
    new = [
        item
        for method, step in wanted
        for position in step.half_decades
        for item in specs.with_seeds(
            catalog, {**method.groups[0].runs[0].spec.model_dump(), "lambda_": lambda_of(position)}, seeds
        )
    ]
    ready = with_sources(session, catalog, new, lock=True)
    ensure_prepared(session, catalog, ready)
    return ready


def progress(
    session: Session, catalog: Catalog, experiment_id: int, rule: BracketSearch, stored: StoredSearch
) -> SearchProgress:
    """Return what the search has tried and what comes next."""
    state = _read(session, catalog, experiment_id, rule, stored)
    candidates = []
    for method, _ in state.steps:
        known = [item for _, item in method.tried if item is not None]
        best = None if state.baseline is None else _best(known, state.baseline, rule, state.higher)
        for group, item in method.tried:
            candidates.append(
                SearchCandidate(
                    settings=method.settings,
                    parameters={"lambda_": group.settings["lambda_"]},
                    lambda_=group.settings["lambda_"],
                    runs=[run.id for run in group.runs],
                    state="running" if item is None else "failed" if item.value is None else "complete",
                    accuracy=item.accuracy if item else None,
                    value=item.value if item else None,
                    values=[item.value if item else None],
                    within_budget=None
                    if item is None or state.baseline is None
                    else bracket.within_budget(item, state.baseline, rule.accuracy_budget),
                    best=item is not None and item is best,
                )
            )
    waiting = state.waits_for or "The search waits for runs that are not done."
    left = sum(max(0, rule.max_candidates - len(method.tried)) for method, _ in state.steps) * len(rule.seeds)
    max_runs = len(state.members) + (left if stored.status == "running" else 0)
    return SearchProgress(
        kind=rule.kind,
        status=stored.status,
        reason=stored.reason or waiting,
        result=rule.result,
        objectives=[SearchObjective(result=rule.result, direction="maximize" if state.higher else "minimize")],
        accuracy_budget=rule.accuracy_budget,
        baseline_accuracy=state.baseline,
        methods=[
            SearchMethod(
                settings=method.settings,
                next=[lambda_of(at) for at in step.half_decades] if step else [],
                reason=step.reason if step else waiting,
                done=step is not None and step.done,
            )
            for method, step in state.steps
        ],
        candidates=candidates,
        runs=len(state.members),
        max_runs=max_runs,
        max_seconds_left=seconds_left(state.members, max_runs),
    )


@dataclass(frozen=True)
class _Method:
    """A method of a search with its λ in order; None in place of those that are not done."""

    groups: list[Group]
    settings: dict[str, Any]
    tried: list[tuple[Group, Tried | None]]
    highest: float


@dataclass(frozen=True)
class _State:
    """The state of a search, read from its runs."""

    steps: list[tuple[_Method, Next | None]]  # None: some of its runs are not done
    baseline: float | None
    higher: bool
    members: list[Run]
    waits_for: str


def _read(session: Session, catalog: Catalog, experiment_id: int, rule: BracketSearch, stored: StoredSearch) -> _State:
    members = list(runs.many(session, experiments.run_ids(session, experiment_id)).values())
    groups = grouped(catalog, members)
    found = methods(groups)
    varied = [name for name in differing_settings([method.groups[-1] for method in found]) if name != "lambda_"]
    references = {id(method.baseline): method.baseline for method in found if method.baseline is not None}
    waits_for = _obstacle(members, {run.id for group in references.values() for run in group.runs})
    higher = _higher(members, rule.result, stored.validation_result)
    steps: list[tuple[_Method, Next | None]] = []
    baselines: list[float | None] = []
    for method in found:
        own = [group for group in method.groups if not group.is_baseline]
        tried = [(group, _tried(group, stored)) for group in own]
        reference = None if method.baseline is None else _mean_accuracy(method.baseline, stored)
        baselines.append(reference)
        named = {name: own[-1].settings[name] for name in varied if name in own[-1].settings}
        item = _Method(own, named, tried, highest_position(catalog, own[-1].runs[0].spec))
        known = [value for _, value in tried if value is not None]
        step = None
        if reference is not None and len(known) == len(tried) and known and not waits_for:
            step = bracket.extend(
                known,
                baseline=reference,
                max_loss=rule.accuracy_budget,
                higher=higher,
                max_candidates=rule.max_candidates,
                highest=item.highest,
            )
        steps.append((item, step))
    if steps and all(step is not None and step.done for _, step in steps):
        steps = _equalised(steps, baselines, rule, higher)
    baseline = next((value for value in baselines if value is not None), None)
    return _State(steps, baseline, higher, members, waits_for)


def _equalised(
    steps: list[tuple[_Method, Next | None]], baselines: Sequence[float | None], rule: BracketSearch, higher: bool
) -> list[tuple[_Method, Next | None]]:
    """Return one more λ for each method with fewer candidates than another one."""
    most = max(len(method.tried) for method, _ in steps)
    equal: list[tuple[_Method, Next | None]] = []
    for (method, step), baseline in zip(steps, baselines, strict=True):
        known = [item for _, item in method.tried if item is not None]
        if len(known) < most and baseline is not None:
            more = bracket.refine(known, baseline=baseline, max_loss=rule.accuracy_budget, higher=higher)
            step = step if more.done else more
        equal.append((method, step))
    return equal


def _best(known: Sequence[Tried], baseline: float, rule: BracketSearch, higher: bool) -> Tried | None:
    return bracket.best_within(known, baseline=baseline, max_loss=rule.accuracy_budget, higher=higher)


def _tried(group: Group, stored: StoredSearch) -> Tried | None:
    """Return the λ with its means; None while a run of its seeds is missing or not done."""
    if not _done(group, stored.request.seeds):
        return None
    position = round(2 * math.log10(group.settings["lambda_"]) * _STEPS_PER_HALF_DECADE) / _STEPS_PER_HALF_DECADE
    if any(run.status is Status.FAILED for run in group.runs):
        return Tried(position, None, None)
    accuracy = validation_accuracy(group)
    value = next((mean for column, mean in group.means.items() if column.result == stored.validation_result), None)
    return Tried(position, accuracy.mean if accuracy else None, value.mean if value else None)


def _mean_accuracy(group: Group, stored: StoredSearch) -> float | None:
    if not _done(group, stored.request.seeds) or any(run.status is Status.FAILED for run in group.runs):
        return None
    mean = validation_accuracy(group)
    return mean.mean if mean else None


def _done(group: Group, seeds: Sequence[int]) -> bool:
    return set(seeds) <= set(group.seeds) and all(run.status is Status.FAILED or run.measured for run in group.runs)


def _obstacle(members: Sequence[Run], baseline: set[int]) -> str:
    """Return what the search waits for that nobody but the user can change; "" where there is nothing."""
    for run in members:
        if run.status is Status.CANCELLED:
            return f"Run {run.id} was cancelled: retry it, or stop the search."
        if run.status is Status.FAILED and run.id in baseline:
            return f"Run {run.id} of the baseline failed: retry it, or stop the search."
        if run.measured and any(status.unsuccessful for status in run.evaluation_counts):
            return f"An evaluation of run {run.id} did not succeed: repeat it, or stop the search."
    return ""


def _higher(members: Sequence[Run], result: str, validation_result: str) -> bool:
    for run in members:
        for name in (validation_result, result):
            value = run.results.get(name)
            if value is not None and value.higher_is_better is not None:
                return value.higher_is_better
    return True
