"""Time left of an experiment, against a schedule of two workers whose end is known."""

import itertools
from dataclasses import dataclass

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import time_left
from densitylab.backend.shared.store.time_left import side_by_side
from densitylab.backend.shared.tables import EvaluationRow, RunRow, TaskRow
from tests.backend.conftest import Work

WEIGHTED, PLAIN, EVALUATION = 120.0, 60.0, 10.0  # seconds; six passes a step, and three
LOADING, GAP = 3.0, 1.0  # seconds of a training before it has an estimate, and of a worker between two tasks
BEGAN = 1_700_000_000.0


@dataclass(frozen=True)
class Planned:
    task: int
    worker: str
    start: float
    seconds: float
    training: bool

    @property
    def end(self) -> float:
        return self.start + self.seconds


def schedule(session: Session, experiment: int) -> list[Planned]:
    """Return the tasks on two workers, trainings first, each begun when a worker has ended the one before."""
    rows = session.execute(
        select(TaskRow.id, TaskRow.kind, RunRow.lambda_)
        .join(RunRow, RunRow.id == TaskRow.run_id)
        .where(RunRow.experiment_id == experiment)
        .order_by(TaskRow.kind.desc(), TaskRow.id)
    ).all()
    free = {"a": 0.0, "b": 0.0}
    planned = []
    for task, kind, lambda_ in rows:
        training = kind == TaskKind.TRAIN
        seconds = (WEIGHTED if lambda_ else PLAIN) if training else EVALUATION
        worker = min(free, key=lambda name: free[name])
        planned.append(Planned(task, worker, free[worker], seconds, training))
        free[worker] += seconds + GAP
    return planned


def show(session: Session, item: Planned, at: float) -> None:
    """Write what the worker would have written of the task by then."""
    status, left, finished = Status.QUEUED, None, None
    if at >= item.end:
        status, finished = Status.SUCCEEDED, BEGAN + item.end
        session.execute(update(EvaluationRow).where(EvaluationRow.task_id == item.task).values(seconds=item.seconds))
    elif at >= item.start:
        status = Status.RUNNING
        left = item.end - at if at - item.start >= LOADING or not item.training else None
    begun = at >= item.start
    session.execute(
        update(TaskRow)
        .where(TaskRow.id == item.task)
        .values(
            status=status,
            eta_seconds=left,
            progress=min(1.0, max(0.0, at - item.start) / item.seconds),
            started_at=BEGAN + item.start if begun else None,
            finished_at=finished,
            worker=item.worker if begun else None,
        )
    )


@pytest.fixture
def estimates(work: Work, system: System) -> list[tuple[float, time_left.TimeLeft]]:
    """Return (seconds that are really left, estimate) every 5 seconds of an experiment of both kinds of runs."""
    work.launch({"evaluations": []}, sweep={"lambda_": [0.1, 0], "seed": [0, 1, 2, 3]})
    answers = []
    with system.database.write() as session:
        planned = schedule(session, 1)
        end = max(item.end for item in planned)
        for at in range(0, int(end), 5):
            for item in planned:
                show(session, item, at)
            answers.append((end - at, time_left.of_experiments(session, [1], BEGAN + at)[1]))
    return answers


def test_the_estimate_is_right_from_the_first_steps_on(estimates: list[tuple[float, time_left.TimeLeft]]):
    assert estimates[0][1].seconds is None  # no run has ended a step
    trained = [answer for right, answer in estimates if right < 40]
    assert trained and all(answer.untimed_evaluations == 0 for answer in trained)
    for right, answer in estimates[1:]:
        evaluations = answer.untimed_evaluations * EVALUATION / 2
        assert answer.seconds is not None  # also while a worker loads, or has a moment without work
        assert answer.seconds + evaluations == pytest.approx(right, abs=12), right


def test_the_estimate_does_not_jump_between_runs(estimates: list[tuple[float, time_left.TimeLeft]]):
    known = [(answer.seconds or 0.0) + answer.untimed_evaluations * EVALUATION / 2 for _, answer in estimates[1:]]
    steps = [later - earlier for earlier, later in itertools.pairwise(known)]
    assert len(steps) > 30 and max(steps) < 5


def test_evaluations_without_a_time_are_counted(work: Work, system: System):
    (run,) = work.launch({"evaluations": [{"key": "leakage"}]})
    held = work.start(run)
    with system.database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.id == held.task_id).values(eta_seconds=30.0))
        assert time_left.of_experiments(session, [1], BEGAN)[1] == time_left.TimeLeft(30.0, 2)


def test_tasks_are_taken_by_the_worker_that_ends_first():
    assert sorted(side_by_side([100, 100, 100, 30, 30], [0.0, 0.0])) == [160.0, 200.0]
    assert side_by_side([10], [50.0, 20.0]) == [30.0, 50.0]
