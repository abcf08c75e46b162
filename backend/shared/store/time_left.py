"""Estimated time left of experiments: the times that their tasks were expected to take, corrected by what they take."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, NamedTuple

from sqlalchemy import Text, case, cast, func, literal_column, or_, select, true
from sqlalchemy.orm import Session

from densitylab.backend.shared.catalog.cost import PLAIN_PASSES
from densitylab.backend.shared.catalog.regularizers import REGULARIZERS
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import EvaluationRow, ExperimentRow, RunRow, TaskRow

_AT_WORK_SECONDS = 60  # a worker whose last task ended no longer ago takes the next one
_UNFINISHED = (Status.QUEUED, Status.RUNNING)
_TRAININGS = (TaskKind.TRAIN, TaskKind.LOG)  # an import takes seconds, which say nothing about a training
_PENALISED = {
    entry.key: entry.cost({param.name: param.default for param in entry.params}).passes
    for entry in REGULARIZERS
    if entry.cost is not None
}
_LEAST_WEIGHT = 0.01  # of the time of a task that has just begun
# Without the pauses between attempts
_TOOK = case((TaskRow.attempt == 1, TaskRow.finished_at - TaskRow.started_at))


class _Kind(NamedTuple):
    """Tasks that take about as long."""

    settings: tuple[Any, ...]  # a training's regularizer and whether it has a weight; an evaluation's key and settings
    expected: float | None  # seconds, estimated at the launch


class _Seconds(NamedTuple):
    """Mean seconds of tasks, and how many they are; one that runs is a part of one, as far as it is done."""

    weight: float
    seconds: float


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the last run is trained and evaluated, if no other work comes first; None: not known."""

    seconds: float | None = None
    untimed_evaluations: int = 0  # that the seconds leave out: none of their kind has ended, and none was expected
    workers: tuple[str, ...] = ()  # that are at work, by name
    worker_count: int = 1  # that the seconds count on


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

    launched_with: int = 1  # workers
    workers: list[str] = field(default_factory=list)
    queued: dict[_Kind, tuple[int, float]] = field(default_factory=dict)  # number, mean progress; in their order
    running: list[_Running] = field(default_factory=list)
    trained: dict[_Kind, _Seconds] = field(default_factory=dict)
    unevaluated: dict[_Kind, list[float]] = field(default_factory=dict)  # progress of each
    evaluated: dict[_Kind, list[_Seconds]] = field(default_factory=dict)

    @property
    def worker_count(self) -> int:
        """The workers that take its tasks: until the first run is trained at least those that there were at the
        launch, since some may not have begun."""
        return max(1, len(self.workers), 0 if self.trained else self.launched_with)


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
    _read_evaluations(session, found, at)
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
    launched = select(ExperimentRow.id, ExperimentRow.workers).where(ExperimentRow.id.in_(experiment_ids))
    for experiment_id, number in session.execute(launched):
        found[experiment_id].launched_with = number or 1
    for experiment_id, worker in session.execute(at_work):
        if worker is not None:
            found[experiment_id].workers.append(worker)
    return {
        number: replace(_estimated(work), workers=tuple(work.workers), worker_count=work.worker_count)
        for number, work in found.items()
    }


def _read_trainings(session: Session, found: dict[int, _Work], at: float) -> None:
    # Without bound values, which PostgreSQL takes for others in the grouping
    weighted = func.coalesce(RunRow.lambda_ != literal_column("0"), true()).label("weighted")
    runs = (
        select(RunRow.experiment_id, RunRow.regularizer, weighted, TaskRow.expected_seconds)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind.in_(_TRAININGS)))
        .where(RunRow.experiment_id.in_(list(found)), PRESENT)
    )
    counted = (
        runs.add_columns(
            TaskRow.status,
            func.count().label("number"),
            func.avg(TaskRow.progress).label("progress"),
            func.avg(_TOOK).label("seconds"),
            func.count(_TOOK).label("timed"),
        )
        .where(TaskRow.status.in_((Status.QUEUED, Status.SUCCEEDED)))
        .group_by(RunRow.experiment_id, RunRow.regularizer, weighted, TaskRow.expected_seconds, TaskRow.status)
        .order_by(func.min(TaskRow.id))
    )
    for row in session.execute(counted):
        work, kind = found[row.experiment_id], _kind(row)
        if row.status == Status.QUEUED:
            work.queued[kind] = (row.number, row.progress)
        elif row.seconds is not None:
            work.trained[kind] = _Seconds(row.timed, row.seconds)
    present = runs.add_columns(TaskRow.attempt, TaskRow.progress, TaskRow.eta_seconds, TaskRow.started_at)
    for row in session.execute(present.where(TaskRow.status == Status.RUNNING)):
        so_far = max(0.0, at - (at if row.started_at is None else row.started_at)) if row.attempt == 1 else None
        found[row.experiment_id].running.append(_Running(_kind(row), row.progress, row.eta_seconds, so_far))


def _kind(row: Any) -> _Kind:
    return _Kind((row.regularizer, bool(row.weighted)), row.expected_seconds)


def _read_evaluations(session: Session, found: dict[int, _Work], at: float) -> None:
    params = cast(EvaluationRow.params, Text).label("params")
    same = (EvaluationRow.key, params, EvaluationRow.split, TaskRow.expected_seconds)
    of_rest = TaskRow.eta_seconds / func.nullif(1 - TaskRow.progress, 0)  # of a later attempt, which begins anew
    whole = case((TaskRow.attempt == 1, at - TaskRow.started_at + TaskRow.eta_seconds), else_=of_rest)
    statement = (
        select(
            RunRow.experiment_id,
            TaskRow.status,
            *same,
            func.count().label("number"),
            func.avg(_TOOK).label("seconds"),
            func.count(_TOOK).label("timed"),
            func.avg(TaskRow.progress).label("progress"),
            func.avg(whole).label("whole"),
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
        work = found[row.experiment_id]
        kind = _Kind((row.key, row.params, row.split), row.expected_seconds)
        if row.status in _UNFINISHED:
            done = row.progress if row.status == Status.RUNNING else 0.0  # one that is queued again begins anew
            work.unevaluated.setdefault(kind, []).extend([done] * row.number)
            if row.whole is not None:
                weight = max(row.number * row.progress, _LEAST_WEIGHT)
                work.evaluated.setdefault(kind, []).append(_Seconds(weight, row.whole))
        elif row.seconds is not None:
            work.evaluated.setdefault(kind, []).append(_Seconds(row.timed, row.seconds))


def _estimated(work: _Work) -> TimeLeft:
    """Return the time of all tasks, in the order of the queue, on the workers that are at work."""
    typical = _of_trainings(work)
    trainings: list[float] = []
    for run in work.running:
        left = typical[run.kind] * (1 - run.progress) if run.kind in typical else run.left
        if left is None:
            return TimeLeft()
        if run.left is not None:  # its own pace says the more, the longer it has run
            left = run.progress * run.left + (1 - run.progress) * left
        trainings.append(left)
    queued: list[tuple[float, float]] = []  # the place in the queue, where each seed has all kinds, and the seconds
    for kind, (number, done) in work.queued.items():
        if kind not in typical:
            return TimeLeft()
        queued += [(place / number, typical[kind] * (1 - done)) for place in range(number)]
    trainings += [seconds for _, seconds in sorted(queued, key=lambda item: item[0])]
    workers = work.worker_count
    at_once = max(workers, len(work.running))  # a worker may train several runs as one
    ends = side_by_side(trainings, [0.0] * at_once)
    if at_once > workers:
        ends = [max(ends)] * workers
    untimed, evaluations = 0, list[float]()
    typical = _typical(work.unevaluated, work.evaluated)
    for kind, progress in work.unevaluated.items():
        if kind in typical:
            evaluations += [typical[kind] * (1 - share) for share in progress]
        else:
            untimed += len(progress)
    known = trainings or evaluations
    return TimeLeft(max(side_by_side(evaluations, ends)) if known else None, untimed)


def _of_trainings(work: _Work) -> dict[_Kind, float]:
    """Return the seconds of a training by kind; of a kind of which none has begun and none was expected those of the
    others, by the passes of a step where the catalog has them. Empty: none is known."""
    measured = {kind: [seconds] for kind, seconds in work.trained.items()}
    for run in work.running:
        if run.whole is not None:
            measured.setdefault(run.kind, []).append(_Seconds(max(run.progress, _LEAST_WEIGHT), run.whole))
    kinds = {*work.queued, *(run.kind for run in work.running)}
    times = _typical({*kinds, *measured}, measured)
    if not times:
        return {}
    counts = {kind: sum(item.weight for item in measured.get(kind, ())) + bool(kind.expected) for kind in times}
    return {kind: _unseen(kind, times, counts) for kind in kinds if kind not in times} | times


def _typical(kinds: Iterable[_Kind], measured: Mapping[_Kind, Sequence[_Seconds]]) -> dict[_Kind, float]:
    """Return the seconds of a task, of the kinds of which they are known.

    They are the mean over the tasks that have begun and the expected time, which counts as one more. So the first
    estimate is the expected one, and no single measurement moves it far. What the tasks take of their expected time, of
    all kinds together, corrects it for all; there, the longest of the kinds counts as one more that took as expected.
    """
    longest = max((kind.expected or 0.0 for kind in {*kinds, *measured}), default=0.0)
    compared = [(kind.expected, item) for kind, items in measured.items() for item in items if kind.expected]
    took = longest + sum(item.weight * item.seconds for _, item in compared)
    expected = longest + sum(item.weight * seconds for seconds, item in compared)
    times = {}
    for kind in kinds:
        known = list(measured.get(kind, ()))
        if kind.expected:
            known.append(_Seconds(1, kind.expected * took / expected))
        if known:
            times[kind] = fmean([item.seconds for item in known], weights=[item.weight for item in known])
    return times


def _unseen(kind: _Kind, times: dict[_Kind, float], counts: dict[_Kind, float]) -> float:
    """Return the seconds of a training of a kind of which none has begun, by the times and numbers of the others."""
    passes = _passes(kind)
    scaled = [times[other] * (passes / of_other if passes and (of_other := _passes(other)) else 1.0) for other in times]
    return fmean(scaled, weights=[counts[other] for other in times])


def _passes(kind: _Kind) -> float | None:
    """Return the passes of a step with the regularizer's defaults; None: not known, as of a plug-in."""
    key, weighted = kind.settings
    return _PENALISED.get(key) if weighted else PLAIN_PASSES
