"""Time left of an experiment, against a schedule of two workers whose end is known."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import time_left
from densitylab.backend.shared.store.time_left import side_by_side
from densitylab.backend.shared.tables import EvaluationRow, ExperimentRow, RunRow, TaskRow
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
            attempt=int(begun),
        )
    )


Estimates = list[tuple[float, time_left.TimeLeft]]


def observe(work: Work, system: System, share: float | None = None) -> Estimates:
    """Return (seconds that are really left, estimate) every 5 seconds of an experiment of both kinds of runs.

    share: of its real time that each task was expected to take; None: nothing was expected.
    """
    work.launch({"evaluations": []}, sweep={"lambda_": [0.1, 0], "seed": [0, 1, 2, 3]})
    answers = []
    with system.database.write() as session:
        planned = schedule(session, 1)
        session.execute(update(ExperimentRow).values(workers=None if share is None else 2))
        for item in planned if share is not None else ():
            expected = {"expected_seconds": item.seconds * (share or 0)}
            session.execute(update(TaskRow).where(TaskRow.id == item.task).values(expected))
        end = max(item.end for item in planned)
        for at in range(0, int(end), 5):
            for item in planned:
                show(session, item, at)
            answers.append((end - at, time_left.of_experiments(session, [1], BEGAN + at)[1]))
    return answers


@pytest.fixture
def estimates(work: Work, system: System) -> Estimates:
    return observe(work, system)


def test_the_estimate_is_right_from_the_first_steps_on(estimates: Estimates):
    assert estimates[0][1].seconds is None  # no run has ended a step
    trained = [answer for right, answer in estimates if right < 40]
    assert trained and all(answer.untimed_evaluations == 0 for answer in trained)
    for right, answer in estimates[1:]:
        evaluations = answer.untimed_evaluations * EVALUATION / 2  # less where a worker without a training does them
        assert answer.seconds is not None  # also while a worker loads, or has a moment without work
        assert answer.seconds - 12 <= right <= answer.seconds + evaluations + 12


def test_the_estimate_does_not_jump_between_runs(estimates: Estimates):
    known = [(answer.seconds or 0.0) + answer.untimed_evaluations * EVALUATION / 2 for _, answer in estimates[1:]]
    steps = [later - earlier for earlier, later in itertools.pairwise(known)]
    assert len(steps) > 30 and max(steps) < 5


@pytest.mark.parametrize("share", [0.4, 1.0, 2.5])
def test_the_estimate_moves_smoothly_from_the_expected_to_the_measured_times(share: float, work: Work, system: System):
    observed = observe(work, system, share)
    assert all(answer.untimed_evaluations == 0 and answer.seconds is not None for _, answer in observed)
    right, first = observed[0]
    assert first.seconds == pytest.approx(share * right, rel=0.15)  # before any task has an estimate of its own
    ends = [5.0 * place + (answer.seconds or 0.0) for place, (_, answer) in enumerate(observed)]
    moves = [abs(later - earlier) for earlier, later in itertools.pairwise(ends)]
    slack = 0.02 * right
    assert max(moves) < 0.2 * abs(right - ends[0]) + slack  # of the end that it foretells
    assert sum(moves) < abs(ends[-1] - ends[0]) + slack  # never forth and back
    late = [(right, answer) for right, answer in observed if right < 120]
    assert late and all(answer.seconds == pytest.approx(right, abs=0.3 * right + 5) for right, answer in late)


def test_an_evaluation_that_none_has_ended_of_takes_the_expected_time(work: Work, system: System):
    """Also after others have ended, in the proportion that those took of theirs."""
    runs = work.launch({"evaluations": [{"key": "leakage"}]}, sweep={"seed": [0, 1, 2]})
    with system.database.write() as session:
        write_trainings(session, runs, TRAINED, TRAINED, TRAINED)
        of_key = {
            key: TaskRow.id.in_(select(EvaluationRow.task_id).where(EvaluationRow.key == key))
            for key in ("accuracy", "leakage")
        }
        for key, seconds in (("accuracy", 10.0), ("leakage", 30.0)):
            session.execute(update(TaskRow).where(of_key[key]).values(expected_seconds=seconds))
        assert time_left.of_experiments(session, [1], BEGAN)[1] == time_left.TimeLeft(3 * 10.0 + 3 * 30.0)
        ended = {"status": Status.SUCCEEDED, "attempt": 1, "started_at": BEGAN, "finished_at": BEGAN + 20}
        session.execute(update(TaskRow).where(of_key["accuracy"]).values(ended))
        factor = (30.0 + 3 * 20.0) / (30.0 + 3 * 10.0)  # with one of the longest kind that took as expected
        assert time_left.of_experiments(session, [1], BEGAN)[1].seconds == pytest.approx(3 * 30.0 * factor)


def test_one_evaluation_moves_the_estimate_halfway(work: Work, system: System):
    """Its end too: what it took until then does not fall out of the estimate for a moment."""
    runs = work.launch({"evaluations": [{"key": "leakage"}]}, sweep={"seed": [0, 1, 2]})
    with system.database.write() as session:
        write_trainings(session, runs, TRAINED, TRAINED, TRAINED)
        keys = dict(session.execute(select(TaskRow.id, EvaluationRow.key).join(EvaluationRow)).all())
        expected = {"accuracy": 1.0, "leakage": 100.0}
        for task, key in keys.items():
            session.execute(update(TaskRow).where(TaskRow.id == task).values(expected_seconds=expected[key]))
        (first, *_) = (task for task, key in keys.items() if key == "leakage")

        def of_one(at: float, **values: Any) -> float:
            session.execute(update(TaskRow).where(TaskRow.id == first).values(values))
            seconds = time_left.of_experiments(session, [1], BEGAN + at)[1].seconds
            assert seconds is not None
            return seconds / 2  # two are left, and the short ones

        begun = {"attempt": 1, "started_at": BEGAN, "worker": "a"}
        assert of_one(0.0, status=Status.RUNNING, progress=0.0, **begun) == pytest.approx(150, abs=3)
        nearly = of_one(20.0, progress=1.0, eta_seconds=0.0)
        assert nearly == pytest.approx(40, abs=3)
        ended = of_one(20.0, status=Status.SUCCEEDED, finished_at=BEGAN + 20, eta_seconds=None)
        assert ended == pytest.approx(nearly, rel=0.05)


def test_until_a_run_is_trained_the_workers_of_the_launch_count(work: Work, system: System):
    runs = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2, 3]})
    with system.database.write() as session:
        session.execute(update(ExperimentRow).values(workers=2))
        session.execute(update(TaskRow).where(TaskRow.kind == TaskKind.TRAIN).values(expected_seconds=60.0))
        session.execute(update(TaskRow).where(TaskRow.kind == TaskKind.EVALUATE).values(expected_seconds=0.0))
        left = time_left.of_experiments(session, [1], BEGAN)[1]
        assert (left.seconds, left.worker_count, left.workers) == (2 * 60.0, 2, ())
        write_trainings(session, runs, TRAINED, QUEUED, QUEUED, QUEUED)
        left = time_left.of_experiments(session, [1], BEGAN + 100)[1]
        assert (left.seconds, left.worker_count) == (3 * 60.0, 1)


def test_evaluations_without_a_time_are_counted(work: Work, system: System):
    (run,) = work.launch({"evaluations": [{"key": "leakage"}]})
    held = work.start(run)
    with system.database.write() as session:
        of_run = update(TaskRow).where(TaskRow.id == held.task_id)
        session.execute(of_run.values(eta_seconds=30.0, worker="first"))
        assert time_left.of_experiments(session, [1], BEGAN)[1] == time_left.TimeLeft(30.0, 2, ("first",))


def write_trainings(session: Session, runs: list[int], *each: dict[str, Any]) -> None:
    for run, values in zip(runs, each, strict=True):
        begun = {"started_at": BEGAN, "attempt": 1, "progress": 1.0, **values}
        of_run = (TaskRow.run_id == run) & (TaskRow.kind != TaskKind.EVALUATE)
        session.execute(update(TaskRow).where(of_run).values(begun))


DAY = 86_400.0
TRAINED = {"status": Status.SUCCEEDED, "finished_at": BEGAN + 60}
RESUMED = {"status": Status.SUCCEEDED, "finished_at": BEGAN + DAY + 60, "attempt": 2}
QUEUED = {"status": Status.QUEUED, "started_at": None, "attempt": 0, "progress": 0.0}
HALF = {"status": Status.QUEUED, "attempt": 1, "progress": 0.5}
RUNNING = {"status": Status.RUNNING, "started_at": BEGAN - DAY, "attempt": 2, "progress": 0.75}
IMPORTED = {"status": Status.SUCCEEDED, "finished_at": BEGAN + 1, "kind": TaskKind.IMPORT}


@pytest.mark.parametrize(
    ("trainings", "seconds"),
    [
        pytest.param([TRAINED, RESUMED, QUEUED], 60, id="a pause is no training"),
        pytest.param([RUNNING | {"eta_seconds": 15.0}, QUEUED], 75, id="nor is that of a run that goes on"),
        pytest.param([TRAINED, RUNNING], 15, id="which loads"),
        pytest.param([TRAINED, HALF], 30, id="a run that was released goes on from its checkpoint"),
        pytest.param([TRAINED, IMPORTED, QUEUED], 60, id="an import is no training"),
        pytest.param([RUNNING | {"progress": 1.0, "eta_seconds": 0.0}, QUEUED], None, id="nothing is known"),
    ],
)
def test_a_training_takes_what_others_took(
    trainings: list[dict[str, Any]], seconds: float | None, work: Work, system: System
):
    runs = work.launch({"evaluations": []}, sweep={"seed": list(range(len(trainings)))})
    with system.database.write() as session:
        write_trainings(session, runs, *trainings)
        assert time_left.of_experiments(session, [1], BEGAN + 100)[1].seconds == seconds


def test_an_evaluation_that_runs_again_takes_its_whole_time(work: Work, system: System):
    runs = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2]})
    ended = {"status": Status.SUCCEEDED, "progress": 1.0}
    begun = {"status": Status.RUNNING, "progress": 0.25, "eta_seconds": 30.0, "started_at": BEGAN - DAY}

    def left(*each: dict[str, Any]) -> time_left.TimeLeft:
        with system.database.write() as session:
            write_trainings(session, runs, TRAINED, TRAINED, TRAINED)
            for run, values in zip(runs, each, strict=True):
                of_run = (TaskRow.run_id == run) & (TaskRow.kind == TaskKind.EVALUATE)
                session.execute(update(TaskRow).where(of_run).values(values))
            return time_left.of_experiments(session, [1], BEGAN)[1]

    again = {"status": Status.QUEUED, "progress": 1.0}
    assert left(ended, begun, again) == time_left.TimeLeft(30.0 + 40.0)
    ended |= {"attempt": 1, "started_at": BEGAN, "finished_at": BEGAN + 10}
    assert left(ended, again, again).seconds == 20.0


def test_tasks_are_taken_by_the_worker_that_ends_first():
    assert sorted(side_by_side([100, 100, 100, 30, 30], [0.0, 0.0])) == [160.0, 200.0]
    assert side_by_side([10], [50.0, 20.0]) == [30.0, 50.0]
