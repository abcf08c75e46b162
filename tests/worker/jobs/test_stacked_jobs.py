"""Runs of an experiment that one job trains as one: each with its own curves, checkpoint, cancel and failure."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from sqlalchemy import update
from sqlalchemy.orm import Session

from densitylab.backend.shared import store
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import tasks
from densitylab.backend.shared.tables import TaskRow
from densitylab.worker.jobs import train
from densitylab.worker.runtime import stop_signal
from tests.worker.conftest import Lab
from tests.worker.meanwhile import when

SWEEP = {"lambda_": [0.0, 0.1, 1.0], "seed": [0, 1]}
LONG = {"epochs": 60, "evaluations": []}
JOB = "import sys; from densitylab.worker.jobs import train; train.run(int(sys.argv[1]))"


@pytest.fixture
def lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("DENSITYLAB_STACK_RUNS", "always")
    return lab


def statuses(lab: Lab, runs: dict[int, int]) -> list[Status]:
    return [lab.run(run_id).status for run_id in runs]


def saved_step(lab: Lab, run_id: int) -> int:
    return lab.run(run_id).checkpoint_step or 0


def assert_same_bits(lab: Lab, runs: dict[int, int], reference: dict[int, int]) -> None:
    for run_id, other in zip(runs, reference, strict=True):
        assert lab.rows(run_id) == lab.rows(other)
        expected = lab.weights(other)
        assert all(torch.equal(value, expected[name]) for name, value in lab.weights(run_id).items())


def assert_close(lab: Lab, run_id: int, other: int) -> None:
    """Compare two runs by their curves, to four digits: float32 amplifies the rounding of the first steps."""
    curves, expected = ({(name, step): value for name, step, value in lab.rows(each)} for each in (run_id, other))
    assert curves.keys() == expected.keys()
    assert curves == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_runs_that_differ_in_the_sweep_alone_train_as_one(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    runs = lab.launch_sweep({**SWEEP, "optimizer.params.lr": [0.001, 0.002]}, evaluations=[])
    train.run(next(iter(runs.values())))
    assert statuses(lab, runs) == [Status.SUCCEEDED] * 12
    monkeypatch.setenv("DENSITYLAB_STACK_RUNS", "never")
    single = lab.launch_sweep({**SWEEP, "optimizer.params.lr": [0.001, 0.002]}, evaluations=[])
    for run_id, (other, task_id) in zip(runs, single.items(), strict=True):
        train.run(task_id)
        assert_close(lab, run_id, other)
        run, alone = lab.run(run_id), lab.run(other)
        assert run.provenance["stacked"] == {"runs": list(runs)} and "stacked" not in alone.provenance
        assert "12 runs of the experiment train as one" in lab.log(run_id)
        assert (run.attempt, run.checkpoint_step, run.progress) == (1, alone.checkpoint_step, 1.0)
        assert run.provenance.keys() - alone.provenance.keys() == {"stacked"}
        assert [item.status for item in lab.evaluations(run_id).values()] == [Status.QUEUED]


def test_a_write_locks_all_tasks_and_then_all_runs_in_the_order_of_their_ids(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    locked: list[tuple[str, int]] = []
    fence, set_metrics = tasks.fence, store.runs.set_metrics

    def fenced(session: Session, claim: tasks.Claim) -> None:
        locked.append(("task", claim.task_id))
        fence(session, claim)

    def written(session: Session, run_id: int, latest: dict[str, float]) -> None:
        locked.append(("run", run_id))
        set_metrics(session, run_id, latest)

    monkeypatch.setattr(tasks, "fence", fenced)
    monkeypatch.setattr(store.runs, "set_metrics", written)
    runs = lab.launch_sweep({"lambda_": [1.0, 0.0], "seed": [0, 1]}, evaluations=[])
    train.run(min(runs.values()))
    assert list(runs.values()) != sorted(runs.values())
    in_order = [("task", number) for number in sorted(runs.values())] + [("run", number) for number in runs]
    assert any(locked[start : start + 8] == in_order for start in range(len(locked)))


def test_on_a_cpu_runs_train_alone_by_default(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DENSITYLAB_STACK_RUNS")
    runs = lab.launch_sweep(SWEEP)
    train.run(next(iter(runs.values())))
    assert statuses(lab, runs) == [Status.SUCCEEDED] + [Status.QUEUED] * 5


def test_runs_that_differ_in_more_and_those_of_others_are_left(lab: Lab):
    other = lab.launch_sweep({"lambda_": [0.1]})
    runs = lab.launch_sweep({"lambda_": [0.1, 1.0], "batch_size": [50, 100], "model.params.hidden": [16, 32]})
    train.run(next(iter(runs.values())))
    done = {run_id for run_id in runs if lab.run(run_id).status == Status.SUCCEEDED}
    specs = [lab.run(run_id).spec for run_id in done]
    assert {(spec.batch_size, spec.model.params["hidden"]) for spec in specs} == {(50, 16)}
    assert {spec.lambda_ for spec in specs} == {0.1, 1.0}
    assert statuses(lab, other) == [Status.QUEUED]


@pytest.mark.slow
def test_networks_with_batch_norm_whose_worker_ends_go_on_together_with_the_same_bits(lab: Lab):
    settings = {
        **LONG,
        "model": {"key": "cnn", "params": {"width": 2, "norm": "batch"}},
        "train_samples": 300,
        "epochs": 8,
    }
    lambdas = {"lambda_": [0.0, 0.1]}
    reference, runs = lab.launch_sweep(lambdas, **settings), lab.launch_sweep(lambdas, **settings)
    train.run(next(iter(reference.values())))
    with when(lambda: lab.run(max(runs)).progress > 0.05, lambda: stop_signal.request(True)):
        train.run(next(iter(runs.values())))
    stop_signal.request(False)
    assert statuses(lab, runs) == [Status.QUEUED] * 2
    assert 0 < saved_step(lab, min(runs)) < saved_step(lab, min(reference))
    train.run(runs[max(runs)])
    assert statuses(lab, runs) == [Status.SUCCEEDED] * 2
    assert lab.run(min(runs)).provenance["stacked"] == {"runs": list(runs)}
    assert any(name.endswith("num_batches_tracked") for name in lab.weights(min(runs)))
    assert_same_bits(lab, runs, reference)


def test_a_cancelled_run_leaves_and_the_others_go_on(lab: Lab):
    runs = lab.launch_sweep(SWEEP, **LONG)
    leaving = list(runs)[2]

    def cancel():
        with lab.database.write() as session:
            tasks.request_cancel(session, runs[leaving])

    with when(lambda: lab.run(leaving).progress > 0.05, cancel):
        train.run(next(iter(runs.values())))
    ended = dict(zip(runs, statuses(lab, runs), strict=True))
    assert ended.pop(leaving) == Status.CANCELLED and set(ended.values()) == {Status.SUCCEEDED}
    assert 0 < saved_step(lab, leaving) < saved_step(lab, next(iter(runs)))
    assert "cancelled" in lab.log(leaving)


def test_a_diverged_run_fails_and_the_others_equal_their_single_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    sweep = [
        {"optimizer.params.lr": [0.05]},
        {"optimizer.params.lr": [10.0], "lambda_": [1000.0]},
        {"optimizer.params.lr": [0.02]},
    ]
    settings = {"optimizer": {"key": "sgd"}, "evaluations": []}
    runs = lab.launch_sweep(sweep, **settings)
    first, broken, last = runs
    train.run(runs[broken])
    assert statuses(lab, runs) == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED]
    assert "not a finite number" in lab.run(broken).error
    assert ("loss", 1) in {(name, step) for name, step, _ in lab.rows(broken)}
    monkeypatch.setenv("DENSITYLAB_STACK_RUNS", "never")
    single = lab.launch_sweep(sweep, **settings)
    for run_id, (other, task_id) in zip(runs, single.items(), strict=True):
        if run_id in (first, last):
            train.run(task_id)
            assert_close(lab, run_id, other)


@pytest.mark.slow
def test_a_run_whose_lease_is_lost_leaves_without_a_word(lab: Lab):
    runs = lab.launch_sweep(SWEEP, **LONG)
    taken = list(runs)[3]

    def take():
        with lab.database.write() as session:
            tasks.end_cancelled(session, runs[taken])

    with when(lambda: lab.run(taken).progress > 0.05, take):
        train.run(next(iter(runs.values())))
    ended = dict(zip(runs, statuses(lab, runs), strict=True))
    assert ended.pop(taken) == Status.CANCELLED and set(ended.values()) == {Status.SUCCEEDED}


@pytest.mark.slow
def test_runs_whose_worker_ends_go_on_together_with_the_same_bits(lab: Lab):
    reference, runs = lab.launch_sweep(SWEEP, **LONG), lab.launch_sweep(SWEEP, **LONG)
    train.run(next(iter(reference.values())))
    with when(lambda: lab.run(max(runs)).progress > 0.05, lambda: stop_signal.request(True)):
        train.run(next(iter(runs.values())))
    stop_signal.request(False)
    assert statuses(lab, runs) == [Status.QUEUED] * 6
    assert len({saved_step(lab, run_id) for run_id in runs}) == 1
    train.run(runs[max(runs)])
    assert statuses(lab, runs) == [Status.SUCCEEDED] * 6
    assert_same_bits(lab, runs, reference)


@pytest.mark.slow
def test_runs_whose_process_is_killed_go_on_together_with_the_same_bits(lab: Lab):
    reference, runs = lab.launch_sweep(SWEEP, **LONG), lab.launch_sweep(SWEEP, **LONG)
    train.run(next(iter(reference.values())))
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(runs[min(runs)])], env=dict(os.environ), cwd=Path(__file__).parents[3]
    )
    while not all(saved_step(lab, run_id) for run_id in runs):
        assert job.poll() is None
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert len({saved_step(lab, run_id) for run_id in runs}) == 1
    # leases do not end all at once: that of the first is over, those of the others have a second more
    with lab.database.write() as session:
        until = tasks.now(session) + 1.0
        session.execute(update(TaskRow).where(TaskRow.id.in_(runs.values())).values(lease_until=until))
        session.execute(update(TaskRow).where(TaskRow.id == runs[min(runs)]).values(lease_until=until - 2.0))
        tasks.reap(session)
    assert statuses(lab, runs) == [Status.QUEUED] + [Status.RUNNING] * 5
    train.run(runs[min(runs)])
    assert statuses(lab, runs) == [Status.SUCCEEDED] * 6
    assert {lab.run(run_id).attempt for run_id in runs} == {2}
    assert_same_bits(lab, runs, reference)


def test_a_run_goes_on_alone_after_two_attempts_that_came_to_nothing(lab: Lab):
    runs = lab.launch_sweep({"lambda_": [0.1, 1.0]})
    with lab.database.write() as session:
        session.execute(update(TaskRow).where(TaskRow.id == runs[min(runs)]).values(fruitless=2))
    train.run(runs[min(runs)])
    assert statuses(lab, runs) == [Status.SUCCEEDED, Status.QUEUED]
    train.run(runs[max(runs)])
    assert statuses(lab, runs) == [Status.SUCCEEDED] * 2
    assert "stacked" not in lab.run(max(runs)).provenance
