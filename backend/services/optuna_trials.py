"""The trials of a search with Optuna, read from their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any, Self

from sqlalchemy.orm import Session

from densitylab.backend.services.search_runs import validation_result
from densitylab.backend.shared.contracts import OptunaSearch, Run, Status, TrialState
from densitylab.backend.shared.statistics.median_pruning import medians, pruned_at
from densitylab.backend.shared.store import metrics, runs
from densitylab.backend.shared.store.experiments import StoredSearch, StoredTrial

_LESS_IS_BETTER = "validation_cross_entropy"


@dataclass(frozen=True)
class Trial:
    """A combination of parameters with what its runs say about it."""

    number: int
    batch: int
    parameters: dict[str, Any]  # by dotted path of the spec
    runs: list[Run]  # those that were not deleted
    state: TrialState
    values: list[float | None]  # means over the seeds on validation images, by objective
    curve: dict[int, float]  # of the pruning's metric by epoch, until the trial was pruned
    reported: dict[int, float]  # the same with the direction of the objective, as Optuna compares it
    reason: str  # why it was tried, pruned or failed

    @property
    def active_runs(self) -> list[Run]:
        """Runs whose training or an evaluation is queued or running."""
        return [
            run
            for run in self.runs
            if not run.status.final or not all(status.final for status in run.evaluation_counts)
        ]

    @property
    def ended(self) -> bool:
        """True once its state is final and no run of it is active any more."""
        return self.state != "running" and not self.active_runs

    @property
    def lambda_(self) -> float:
        return self.runs[0].spec.lambda_ if self.runs else self.parameters.get("lambda_", 0.0)

    @property
    def started_at(self) -> datetime | None:
        """Time of the first start of a training, or of the launch; None: its runs were deleted."""
        return min((run.started_at or run.created_at for run in self.runs), default=None)

    @property
    def finished_at(self) -> datetime | None:
        """Time of the last end of a training; None while the trial runs."""
        ends = [run.finished_at for run in self.runs if run.finished_at is not None]
        return None if self.state == "running" else max(ends, default=self.started_at)


@dataclass(frozen=True)
class _Earlier:
    """The complete trials of earlier batches."""

    number: int
    medians: dict[int, float]  # of their curves, by epoch

    @classmethod
    def of(cls, curves: Sequence[dict[int, float]]) -> Self:
        return cls(len(curves), medians(curves))


def read(session: Session, search: OptunaSearch, stored: StoredSearch) -> list[Trial]:
    """Return all trials in order of their numbers."""
    numbers = [run_id for item in stored.trials for run_id in item.runs]
    members = runs.many(session, numbers)
    curve = search.pruning and search.pruning.metric
    curves = metrics.by_epoch(session, list(members), curve) if curve else {run_id: {} for run_id in members}
    trials: list[Trial] = []
    for number, item in enumerate(stored.trials):
        if not trials or trials[-1].batch < item.batch:
            # The trials of one batch end in any order: a verdict rests on earlier batches, whose trials have all ended
            earlier = _Earlier.of([trial.curve for trial in trials if trial.state == "complete"])
        trials.append(_trial(search, number, item, members, curves, earlier))
    return trials


def obstacle(trials: Sequence[Trial]) -> str:
    """Return what the search waits for that nobody but the user can change; "" where there is nothing."""
    for run in (run for trial in trials if trial.state == "running" for run in trial.runs):
        if run.status is Status.CANCELLED:
            return f"Run {run.id} was cancelled: retry it, or stop the search."
        if run.measured and any(status.unsuccessful for status in run.evaluation_counts):
            return f"An evaluation of run {run.id} did not succeed: repeat it, or stop the search."
    return ""


def _trial(
    search: OptunaSearch,
    number: int,
    item: StoredTrial,
    members: Mapping[int, Run],
    curves: Mapping[int, dict[int, float]],
    earlier: _Earlier,
) -> Trial:
    own = [members[run_id] for run_id in item.runs if run_id in members]
    whole = len(own) == len(item.runs)
    curve = _mean_curve([curves[run.id] for run in own]) if whole else {}
    epoch = _pruned_at(search, curve, earlier)
    values: list[float | None] = [None] * len(search.objectives)
    state: TrialState
    if epoch is not None:
        # The curve behind the verdict depends on when the training was stopped
        curve = {at: value for at, value in curve.items() if at <= epoch}
        state, reason = "pruned", _why_pruned(search, epoch, earlier.number)
    elif not whole:
        state, reason = "failed", "A run of it was deleted."
    elif not all(map(_ended, own)):
        state, reason = "running", item.reason
    elif failed := [run.id for run in own if run.status is Status.FAILED]:
        state, reason = "failed", f"Run {failed[0]} failed."
    else:
        values = _values(search, own)
        lacking = [goal.result for goal, value in zip(search.objectives, values, strict=True) if value is None]
        state = "failed" if lacking else "complete"
        reason = f"{lacking[0]} has no value on the validation images of a run." if lacking else item.reason
    return Trial(number, item.batch, item.parameters, own, state, values, curve, _reported(search, curve), reason)


def _ended(run: Run) -> bool:
    """Return whether the run failed, or is trained with every evaluation; any other one waits, if only for a person."""
    unsuccessful = any(status.unsuccessful for status in run.evaluation_counts)
    return run.status is Status.FAILED or (run.measured and not unsuccessful)


def _mean_curve(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return the mean over the seeds at the epochs that all of them have reached."""
    epochs = set.intersection(*map(set, curves))
    return {epoch: fmean(curve[epoch] for curve in curves) for epoch in sorted(epochs)}


def _pruned_at(search: OptunaSearch, curve: dict[int, float], earlier: _Earlier) -> int | None:
    rule = search.pruning
    if rule is None or earlier.number < rule.startup_trials:
        return None
    higher = rule.metric != _LESS_IS_BETTER
    return pruned_at(curve, earlier.medians, higher=higher, warmup_epochs=rule.warmup_epochs)


def _why_pruned(search: OptunaSearch, epoch: int, earlier: int) -> str:
    assert search.pruning is not None
    curve = search.pruning.metric.replace("_", " ")
    return f"Pruned after epoch {epoch}: its {curve} was worse than the median of {earlier} earlier trials."


def _reported(search: OptunaSearch, curve: dict[int, float]) -> dict[int, float]:
    """Return the curve with the sign with which the objective's direction applies to it."""
    if search.pruning is None:
        return {}
    agree = (search.pruning.metric != _LESS_IS_BETTER) == (search.objectives[0].direction == "maximize")
    return {epoch: value if agree else -value for epoch, value in curve.items()}


def _values(search: OptunaSearch, own: Sequence[Run]) -> list[float | None]:
    """Return the mean over the seeds of each objective; None where a run has no value of it."""
    means: list[float | None] = []
    for goal in search.objectives:
        results = [run.results.get(validation_result(run.spec, goal.result)) for run in own]
        numbers = [result.value for result in results if result is not None and result.value is not None]
        means.append(fmean(numbers) if len(numbers) == len(own) else None)
    return means
