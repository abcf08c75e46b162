"""Searches with Optuna: what the trials so far call for, which of them are pruned, and the study as a file."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from densitylab.backend.services import optuna_runs, optuna_studies, optuna_trials
from densitylab.backend.services.experiments import ensure_prepared
from densitylab.backend.services.initial_weights import with_sources
from densitylab.backend.services.optuna_trials import Trial
from densitylab.backend.services.search_pace import seconds_left
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    PRUNED,
    Flag,
    OptunaSearch,
    SearchCandidate,
    SearchMethod,
    SearchProgress,
)
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.statistics.groups import Group
from densitylab.backend.shared.statistics.pareto import dominated
from densitylab.backend.shared.statistics.selection import validation_accuracy
from densitylab.backend.shared.store import experiments, runs, tasks
from densitylab.backend.shared.store.experiments import StoredSearch


def take_step(
    session: Session, catalog: Catalog, experiment_id: int, search: OptunaSearch, stored: StoredSearch
) -> str | None:
    """Insert the next batch once all trials of the last one have ended.

    Args:
        experiment_id: of a locked experiment.

    Returns:
        "" where runs were inserted; None where the search waits; else why it is finished.

    Raises:
        InvalidRequest, NotPrepared, NotInstalled: the next runs cannot be launched.
    """
    trials = optuna_trials.read(session, search, stored)
    if not all(trial.ended for trial in trials):
        return None
    if missing := _never_measured(search, trials):
        return f"No run has a result {missing} on validation images."
    if len(trials) >= search.trials:
        return f"All {len(trials)} trials are done."
    batch = optuna_runs.next_trials(session, catalog, search, stored.spec, trials)
    if not batch.trials:
        refused = f"; {batch.refused}" if batch.refused else ""
        return f"No combination is left to try after {len(trials)} trials{refused}."
    planned = with_sources(session, catalog, batch.runs, lock=True)
    ensure_prepared(session, catalog, planned)
    made = {"search": {"trials": len(batch.trials), "reasons": [optuna_runs.why(search, trials)]}}
    owner = Caller(stored.owner or LOCAL.name, stored.owner_token)
    run_ids = experiments.add_runs(session, experiment_id, made, planned, stored.provenance, stored.priority, owner)
    optuna_runs.record(session, experiment_id, search, planned, run_ids, trials)
    return ""


def prune(database: Database, experiment_id: int, judged: str = "") -> str:
    """Stop the runs of trials that have fallen behind.

    Args:
        experiment_id: with a search of any kind.
        judged: what the last call returned; nothing is done until a curve has grown since.

    Returns:
        A text for the next call.
    """
    with database.read() as session:
        stored = experiments.search(session, experiment_id)
        if stored is None or not isinstance(stored.request, OptunaSearch) or stored.request.pruning is None:
            return ""
        points = experiments.training_points(session, experiment_id, stored.request.pruning.metric)
        if points in ("", judged):
            return points
        trials = optuna_trials.read(session, stored.request, stored)
    behind = [(run.id, trial.reason) for trial in trials if trial.state == "pruned" for run in trial.active_runs]
    for run_id, reason in behind:  # each in its own transaction: no lock of a run while it waits for another's task
        with database.write() as session:
            tasks.request_cancel(session, *tasks.active_of_run(session, run_id))
            if runs.exists(session, run_id):
                runs.add_flags(session, run_id, [Flag(key=PRUNED, text=reason)])
    return points


def study_file(session: Session, experiment_id: int, search: OptunaSearch, stored: StoredSearch) -> bytes:
    """Return the study as an SQLite file that Optuna reads, named `experiment-ID`. Raises NotInstalled."""
    trials = optuna_trials.read(session, search, stored)
    return optuna_studies.sqlite_file(search, trials, f"experiment-{experiment_id}")


def progress(session: Session, search: OptunaSearch, stored: StoredSearch) -> SearchProgress:
    """Return what the search has tried and what comes next."""
    trials = optuna_trials.read(session, search, stored)
    members = [run for trial in trials for run in trial.runs]
    max_runs = search.trials * len(search.seeds) if stored.status == "running" else len(members)
    best = _best(search, trials)
    return SearchProgress(
        kind=search.kind,
        status=stored.status,
        reason=stored.reason or optuna_trials.obstacle(trials) or "The search waits for runs that are not done.",
        result=search.objectives[0].result,
        objectives=search.objectives,
        accuracy_budget=None,
        baseline_accuracy=None,
        methods=[_next_step(search, trials, stored)],
        candidates=[_candidate(trial, trial.number in best) for trial in trials],
        runs=len(members),
        max_runs=max_runs,
        max_seconds_left=seconds_left(members, max_runs),
    )


def _next_step(search: OptunaSearch, trials: Sequence[Trial], stored: StoredSearch) -> SearchMethod:
    left = search.trials - len(trials)
    reason = stored.reason
    if stored.status == "running":
        active = sum(not trial.ended for trial in trials)
        then = f"up to {min(search.parallel, left)} of the {left} left come next" if left else "none comes after them"
        reason = f"{active} of {len(trials)} trials are not done; {then}."
    return SearchMethod(settings={}, next=[], reason=reason, done=stored.status != "running")


def _candidate(trial: Trial, best: bool) -> SearchCandidate:
    accuracy = validation_accuracy(Group(settings={}, runs=trial.runs, is_baseline=False)) if trial.ended else None
    return SearchCandidate(
        number=trial.number,
        settings={},
        parameters=trial.parameters,
        lambda_=trial.lambda_,
        runs=[run.id for run in trial.runs],
        state=trial.state,
        reason=trial.reason,
        accuracy=accuracy.mean if accuracy else None,
        value=trial.values[0],
        values=trial.values,
        within_budget=None,
        best=best,
    )


def _best(search: OptunaSearch, trials: Sequence[Trial]) -> list[int]:
    """Return the numbers of the best trial, or of those on the Pareto front of several objectives."""
    complete = [trial for trial in trials if trial.state == "complete"]
    points = [[value for value in trial.values if value is not None] for trial in complete]
    beaten = dominated(points, [goal.direction == "maximize" for goal in search.objectives])
    front = [trial.number for trial, behind in zip(complete, beaten, strict=True) if not behind]
    return front if len(search.objectives) > 1 else front[:1]


def _never_measured(search: OptunaSearch, trials: Sequence[Trial]) -> str:
    """Return an objective that no trained run has a value of, as after a slip in its name; "" where there is none."""
    measured = [trial for trial in trials if trial.runs and all(run.measured for run in trial.runs)]
    for index, goal in enumerate(search.objectives):
        if measured and all(trial.values[index] is None for trial in measured):
            return goal.result
    return ""
