"""Estimated time left of experiments, from the times that their own runs and evaluations take."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

from sqlalchemy import Text, case, cast, func, literal_column, or_, select, true
from sqlalchemy.orm import Session

from densitylab.backend.shared.catalog.cost import PLAIN_PASSES
from densitylab.backend.shared.catalog.regularizers import REGULARIZERS
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import EvaluationRow, RunRow, TaskRow

_AT_WORK_SECONDS = 60  # a worker whose last task ended no longer ago takes the next one
_UNFINISHED = (Status.QUEUED, Status.RUNNING)
_TRAININGS = (TaskKind.TRAIN, TaskKind.LOG)  # an import takes seconds, which say nothing about a training
_PENALISED = {
    entry.key: entry.cost({param.name: param.default for param in entry.params}).passes
    for entry in REGULARIZERS
    if entry.cost is not None
}
_Kind = tuple[str, bool]  # runs that take about as long: the regularizer, and whether it has a weight


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the last run is trained and evaluated, if no other work comes first; None: not known."""

    seconds: float | None = None
    untimed_evaluations: int = 0  # that the seconds leave out, since none of their kind has ended yet
    workers: tuple[str, ...] = ()  # that are at work, by name


@dataclass(frozen=True)
class _Running:
    """A training that has begun."""

    kind: _Kind
    progress: float
    left: float | None  # seconds; None: not known yet
    so_far: float | None  # seconds; None: a later attempt, which may have begun days after the first

    @property
    def whole(self) -> float | None:
        """The seconds of the whole training; None: not known yet."""
        if self.left is None or (self.so_far is None and self.progress >= 1):
            return None
        return self.left / (1 - self.progress) if self.so_far is None else self.so_far + self.left


@dataclass
class _Work:
    """The tasks of an experiment, by what they take."""

    workers: list[str] = field(default_factory=list)
    queued: dict[_Kind, tuple[int, float]] = field(default_factory=dict)  # number, mean progress; in their order
    running: list[_Running] = field(default_factory=list)
    trained: dict[_Kind, tuple[int, float]] = field(default_factory=dict)  # number and mean seconds
    unevaluated: dict[tuple[str, ...], list[float]] = field(default_factory=dict)  # progress of each
    evaluated: dict[tuple[str, ...], float] = field(default_factory=dict)  # mean seconds


def side_by_side(seconds: Iterable[float], ends: Sequence[float]) -> list[float]:
    """Return when each worker ends, in a heap, where each takes the next task once it has ended one.

    Args:
        seconds: of the tasks, in their order.
        ends: when each worker ends what it does now, in seconds from now.
    """
    heap = sorted(ends)
    for value in seconds:
        heapq.heapreplace(heap, heap[0] + value)
    return heap


def of_experiments(session: Session, experiment_ids: Sequence[int], at: float) -> dict[int, TimeLeft]:
    """Return the time left of experiments with unfinished work at the time `at`, in seconds of the clock."""
    found = {number: _Work() for number in experiment_ids}
    _read_trainings(session, found, at)
    _read_evaluations(session, found)
    at_work = (
        select(RunRow.experiment_id, TaskRow.worker)
        .distinct()
        .join(TaskRow, TaskRow.run_id == RunRow.id)
        .where(
            RunRow.experiment_id.in_(experiment_ids),
            PRESENT,
            or_(TaskRow.status == Status.RUNNING, TaskRow.finished_at > at - _AT_WORK_SECONDS),
        )
        .order_by(TaskRow.worker)
    )
    for experiment_id, worker in session.execute(at_work):
        if worker is not None:
            found[experiment_id].workers.append(worker)
    return {number: replace(_estimated(work), workers=tuple(work.workers)) for number, work in found.items()}


def _read_trainings(session: Session, found: dict[int, _Work], at: float) -> None:
    # Without bound values, which PostgreSQL takes for others in the grouping
    weighted = func.coalesce(RunRow.lambda_ != literal_column("0"), true()).label("weighted")
    runs = (
        select(RunRow.experiment_id, RunRow.regularizer, weighted)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind.in_(_TRAININGS)))
        .where(RunRow.experiment_id.in_(list(found)), PRESENT)
    )
    took = case((TaskRow.attempt == 1, TaskRow.finished_at - TaskRow.started_at))  # without the pauses between attempts
    counted = (
        runs.add_columns(
            TaskRow.status,
            func.count().label("number"),
            func.avg(TaskRow.progress).label("progress"),
            func.avg(took).label("seconds"),
            func.count(took).label("timed"),
        )
        .where(TaskRow.status.in_((Status.QUEUED, Status.SUCCEEDED)))
        .group_by(RunRow.experiment_id, RunRow.regularizer, weighted, TaskRow.status)
        .order_by(func.min(TaskRow.id))
    )
    for row in session.execute(counted):
        work, kind = found[row.experiment_id], _kind(row)
        if row.status == Status.QUEUED:
            work.queued[kind] = (row.number, row.progress)
        elif row.seconds is not None:
            work.trained[kind] = (row.timed, row.seconds)
    present = runs.add_columns(TaskRow.attempt, TaskRow.progress, TaskRow.eta_seconds, TaskRow.started_at)
    for row in session.execute(present.where(TaskRow.status == Status.RUNNING)):
        so_far = max(0.0, at - (at if row.started_at is None else row.started_at)) if row.attempt == 1 else None
        found[row.experiment_id].running.append(_Running(_kind(row), row.progress, row.eta_seconds, so_far))


def _kind(row: Any) -> _Kind:
    return row.regularizer, bool(row.weighted)


def _read_evaluations(session: Session, found: dict[int, _Work]) -> None:
    params = cast(EvaluationRow.params, Text).label("params")
    same = (EvaluationRow.key, params, EvaluationRow.split)
    statement = (
        select(
            RunRow.experiment_id,
            TaskRow.status,
            *same,
            func.count().label("number"),
            func.avg(EvaluationRow.seconds).label("seconds"),
            func.avg(TaskRow.progress).label("progress"),
            func.avg(TaskRow.eta_seconds / func.nullif(1 - TaskRow.progress, 0)).label("expected"),
        )
        .join(EvaluationRow, EvaluationRow.run_id == RunRow.id)
        .join(TaskRow, TaskRow.id == EvaluationRow.task_id)
        .where(
            RunRow.experiment_id.in_(list(found)),
            PRESENT,
            TaskRow.kind == TaskKind.EVALUATE,
            TaskRow.status.in_((*_UNFINISHED, Status.SUCCEEDED)),
        )
        .group_by(RunRow.experiment_id, TaskRow.status, *same)
    )
    for row in session.execute(statement):
        work, key = found[row.experiment_id], (row.key, row.params, row.split)
        if row.status in _UNFINISHED:
            done = row.progress if row.status == Status.RUNNING else 0.0  # one that is queued again begins anew
            work.unevaluated.setdefault(key, []).extend([done] * row.number)
            if row.expected is not None:
                work.evaluated.setdefault(key, row.expected)
        elif row.seconds is not None:
            work.evaluated[key] = row.seconds


def _estimated(work: _Work) -> TimeLeft:
    """Return the time of all tasks, in the order of the queue, on the workers that are at work."""
    typical = _typical(work)
    trainings: list[float] = []
    for run in work.running:
        if run.left is None and run.kind not in typical:
            return TimeLeft()
        trainings.append(typical[run.kind] * (1 - run.progress) if run.left is None else run.left)
    queued: list[tuple[float, float]] = []  # the place in the queue, where each seed has all kinds, and the seconds
    for kind, (number, done) in work.queued.items():
        if kind not in typical:
            return TimeLeft()
        queued += [(place / number, typical[kind] * (1 - done)) for place in range(number)]
    trainings += [seconds for _, seconds in sorted(queued, key=lambda item: item[0])]
    workers = max(1, len(work.workers))
    at_once = max(workers, len(work.running))  # a worker may train several runs as one
    ends = side_by_side(trainings, [0.0] * at_once)
    if at_once > workers:
        ends = [max(ends)] * workers
    untimed, evaluations = 0, list[float]()
    for key, progress in work.unevaluated.items():
        if key in work.evaluated:
            evaluations += [work.evaluated[key] * (1 - share) for share in progress]
        else:
            untimed += len(progress)
    known = trainings or evaluations
    return TimeLeft(max(side_by_side(evaluations, ends)) if known else None, untimed)


def _typical(work: _Work) -> dict[_Kind, float]:
    """Return the seconds of a training by kind: the mean of finished ones, else of those that run; for a kind of which
    none has begun that of the others, by the passes of a step where the catalog has them. Empty: none is known."""
    times = {kind: seconds for kind, (_, seconds) in work.trained.items()}
    counts = {kind: number for kind, (number, _) in work.trained.items()}
    begun: dict[_Kind, list[float]] = {}
    for run in work.running:
        if run.whole is not None and run.kind not in times:
            begun.setdefault(run.kind, []).append(run.whole)
    times |= {kind: mean(seconds) for kind, seconds in begun.items()}
    counts |= {kind: len(seconds) for kind, seconds in begun.items()}
    if not times:
        return {}
    others = [*work.queued, *(run.kind for run in work.running)]
    return {kind: _unseen(kind, times, counts) for kind in others} | times


def _unseen(kind: _Kind, times: dict[_Kind, float], counts: dict[_Kind, int]) -> float:
    """Return the seconds of a training of a kind of which none has begun, by the times and numbers of the others."""
    passes, known = _passes(kind), {other: _passes(other) for other in times}
    scaled = [
        (times[other] * (passes / of_other if passes and of_other else 1.0), counts[other])
        for other, of_other in known.items()
    ]
    return sum(seconds * number for seconds, number in scaled) / sum(number for _, number in scaled)


def _passes(kind: _Kind) -> float | None:
    """Return the passes of a step with the regularizer's defaults; None: not known, as of a plug-in."""
    key, weighted = kind
    return _PENALISED.get(key) if weighted else PLAIN_PASSES
