"""Runs that continue other runs, on a real database and real files."""

import pytest
import torch

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import metrics, run_artifacts, runs, tasks
from densitylab.worker.jobs import train
from densitylab.worker.runtime import stop_signal
from densitylab.worker.training import loop

STEPS = 6  # of an epoch


def trained(lab, **changes):
    run_id, task_id = lab.launch(evaluations=[], **changes)
    train.run(task_id)
    assert lab.run(run_id).error is None
    return run_id


def continued(lab, source, **changes):
    return trained(lab, **{"init_from": {"run": source, "mode": "continue"}, **changes})


def same_weights(lab, one, other):
    ours, theirs = lab.weights(one), lab.weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": {"key": "sgd", "params": {"lr": 0.05}}, "ema_decay": 0.9, "gradient_clip": 1.0},
        {"early_stop": {"patience": 5}, "sampling": "class_balanced", "schedule": {"key": "target"}},
        {"model": {"key": "mlp", "params": {"hidden": 32, "dropout": 0.3}}, "regularizer": {"key": "gaussian_noise"}},
    ],
    ids=["adam", "sgd, average, clipping", "early stop, controller of λ", "dropout, noise"],
)
@pytest.mark.few(2)
def test_five_more_epochs_equal_all_epochs_at_once_bit_for_bit(lab, changes):
    source = trained(lab, epochs=2, **changes)
    run_id = continued(lab, source, epochs=7, **changes)
    at_once = trained(lab, epochs=7, **changes)
    assert same_weights(lab, run_id, at_once)
    assert lab.rows(run_id) == lab.rows(at_once)
    assert lab.run(run_id).metrics.keys() == lab.run(at_once).metrics.keys()
    assert {step for _, step, _ in lab.rows(run_id)} == set(range(1, 7 * STEPS + 1))
    assert "the learning rate goes on at" in lab.log(run_id) and "λ goes on at" in lab.log(run_id)
    assert lab.run(run_id).checkpoint_step == 7 * STEPS and lab.run(source).checkpoint_step == 2 * STEPS


def test_the_curves_of_a_longer_run_are_thinned_as_if_it_had_run_at_once(lab, monkeypatch):
    monkeypatch.setattr(loop, "LOGGED_STEPS", 2 * STEPS)
    source = trained(lab, epochs=2)
    run_id, at_once = continued(lab, source, epochs=4), trained(lab, epochs=4)
    assert lab.rows(run_id) == lab.rows(at_once)
    assert {step for name, step, _ in lab.rows(run_id) if name == "loss"} == set(range(2, 4 * STEPS + 1, 2))


def test_a_run_is_continued_twice(lab):
    first = trained(lab, epochs=1)
    second = continued(lab, first, epochs=2)
    third = continued(lab, second, epochs=3)
    at_once = trained(lab, epochs=3)
    assert same_weights(lab, third, at_once) and lab.rows(third) == lab.rows(at_once)
    assert [(item.run, item.epochs) for item in lab.run(third).lineage.ancestors] == [(second, 2.0), (first, 1.0)]


def test_provenance_names_the_checkpoint(lab):
    source = trained(lab, epochs=1)
    run_id = continued(lab, source, epochs=2)
    assert lab.run(run_id).provenance["init_from"] == {
        "run": source,
        "mode": "continue",
        "step": STEPS,
        "epochs": 1.0,
        "sha256": lab.checkpoint(source).location.split(".sha256-")[1].removesuffix(".pt"),
    }
    seconds = [point.seconds for point in _points(lab, run_id)]
    assert seconds == sorted(seconds)  # training time counts on


def _points(lab, run_id):
    with lab.database.read() as session:
        (series,) = metrics.read(session, run_id, ["loss"])
    return series.points


def test_a_stretched_schedule_is_said_in_the_log(lab):
    changes = {"lr_schedule": {"key": "cosine"}, "schedule": {"key": "linear_warm_up"}}
    source = trained(lab, epochs=2, **changes)
    run_id = continued(lab, source, epochs=4, **changes)
    assert "the schedule of the learning rate is stretched to 24 steps: 0 at step 12" in lab.log(run_id)
    assert "the schedule of λ is stretched to 24 steps: 0.1 at step 12, 0.1 at step 13" in lab.log(run_id)
    rates = {step: value for name, step, value in lab.rows(run_id) if name == "learning_rate"}
    assert rates[12] == 0 and 0 < rates[13] < 0.001


def interrupting(step, act):
    """Return a `fit` that calls `act` before the step after `step`, and stops if that returns."""

    def fit(state, *given, should_stop, **options):
        def stop():
            if state.step == step:
                act()
                return True
            return should_stop()

        return loop.fit(state, *given, should_stop=stop, **options)

    return fit


def test_a_run_that_is_stopped_while_it_continues_goes_on_from_its_own_checkpoint(lab, monkeypatch):
    source = trained(lab, epochs=2)
    run_id, task_id = lab.launch(evaluations=[], epochs=7, init_from={"run": source, "mode": "continue"})
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", interrupting(20, lambda: stop_signal.request(True)))
        train.run(task_id)
    stop_signal.request(False)
    assert (lab.run(run_id).status, lab.run(run_id).checkpoint_step) == (Status.QUEUED, 20)
    train.run(task_id)
    at_once = trained(lab, epochs=7)
    assert same_weights(lab, run_id, at_once) and lab.rows(run_id) == lab.rows(at_once)
    assert "continues from the checkpoint of step 20" in lab.log(run_id)
    assert lab.run(run_id).provenance["init_from"]["step"] == 2 * STEPS


def test_a_run_that_fails_before_its_first_checkpoint_starts_from_the_other_run_again(lab, monkeypatch):
    source = trained(lab, epochs=2)
    run_id, task_id = lab.launch(evaluations=[], epochs=4, init_from={"run": source, "mode": "continue"})

    def fail():
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", interrupting(20, fail))
        train.run(task_id)
    assert lab.run(run_id).status == Status.FAILED and lab.run(run_id).checkpoint_step is None
    with lab.database.write() as session:
        tasks.retry(session, task_id)
    train.run(task_id)
    at_once = trained(lab, epochs=4)
    assert same_weights(lab, run_id, at_once) and lab.rows(run_id) == lab.rows(at_once)


def test_a_source_that_changed_or_is_gone_is_named(lab):
    source = trained(lab, epochs=1)
    init_from = {"run": source, "mode": "continue"}
    (changed, first), (damaged, second), (orphaned, third), (replaced, replaced_task) = (
        lab.launch(evaluations=[], epochs=2, init_from=init_from) for _ in range(4)
    )
    with lab.database.write() as session:
        row = run_artifacts.artifact(session, source, run_artifacts.CHECKPOINT)
        row.step += 1
    train.run(first)
    assert f"Run {source} has trained on since this run was launched" in lab.run(changed).error
    with lab.database.write() as session:
        run_artifacts.artifact(session, source, run_artifacts.CHECKPOINT).step -= 1
    location = lab.checkpoint(source).location
    content = lab.artifacts.read(location)
    other = checked_location(f"runs/{source}/checkpoints/other.pt", content + b" ")
    lab.artifacts.write(other, content + b" ")
    with lab.database.write() as session:
        run_artifacts.artifact(session, source, run_artifacts.CHECKPOINT).location = other
    train.run(replaced_task)
    assert "has been replaced since this run was launched, by another one of step" in lab.run(replaced).error
    with lab.database.write() as session:
        run_artifacts.artifact(session, source, run_artifacts.CHECKPOINT).location = location
    lab.artifacts.write(location, content[:-100])
    train.run(second)
    assert f"The checkpoint of run {source} can't be used" in lab.run(damaged).error
    with lab.database.write() as session:
        runs.mark_deleting(session, source)
    train.run(third)
    assert f"Run {source}, which this run starts from, is deleted" in lab.run(orphaned).error
    assert lab.run(orphaned).lineage.ancestors[0].deleted
