"""Flags of runs that end at chance or diverged, from the job to the run, and none of a run that learned."""

import math

import pytest

from densitylab.backend.shared.contracts import MetricPoint, MetricSeries, Status
from densitylab.worker.jobs import train
from densitylab.worker.jobs.outcome import outcome_flags


def sgd(lr):
    return {"key": "sgd", "params": {"lr": lr, "momentum": 0.0}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lambda_": 0.0, "epochs": 6}, set()),
        ({"optimizer": sgd(1e-9), "lambda_": 0.0}, {"at_chance"}),
        ({"optimizer": sgd(1e-9), "early_stop": {"patience": 1}}, {"at_chance"}),
        ({"lambda_": 1e6, "optimizer": sgd(1e-9)}, {"at_chance"}),
        ({"optimizer": {"key": "adam", "params": {"lr": 1.0}}, "lambda_": 0.0}, {"at_chance", "loss_above_start"}),
    ],
)
def test_a_run_carries_how_its_training_ended(changes, expected, lab):
    run_id, task_id = lab.launch(evaluations=[], **changes)
    train.run(task_id)
    run = lab.run(run_id)
    assert run.status is Status.SUCCEEDED, run.error
    assert expected <= {flag.key for flag in run.flags}
    assert expected or not run.flags


def series(name, *values):
    return MetricSeries(
        run=1,
        name=name,
        total=len(values),
        points=[
            MetricPoint.model_construct(step=10 * epoch, epoch=float(epoch), value=value, seconds=1.0)
            for epoch, value in enumerate(values, 1)
        ],
    )


def keys(*curves, epoch=None, images=100, classes=10, **more):
    return [flag.key for flag in outcome_flags(curves, epoch=epoch, images=images, classes=classes, **more)]


def test_one_answer_for_all_images_is_chance_even_if_it_is_mostly_right():
    for right, expected in ((0.78, ["at_chance"]), (0.79, []), (0.77, [])):
        accuracy = series("validation_accuracy", right)
        assert keys(accuracy, classes=2, largest_class=78) == expected
    assert keys(series("validation_accuracy", 0.78), classes=2) == []


def test_chance_is_judged_by_the_interval_over_the_validation_images():
    assert keys(series("validation_accuracy", 0.5, 0.1)) == ["at_chance"]
    assert keys(series("validation_accuracy", 0.1, 0.5)) == []
    assert keys(series("validation_accuracy", 0.13)) == ["at_chance"]
    assert keys(series("validation_accuracy", 0.13), images=10_000) == []
    assert keys(series("validation_accuracy", 0.5), classes=2) == ["at_chance"]


def test_the_kept_epoch_counts_where_a_run_stops_early():
    accuracy, loss = series("validation_accuracy", 0.9, 0.1), series("validation_cross_entropy", 0.3, 90.0)
    start = series("cross_entropy", 2.3, 0.2)
    assert keys(accuracy, loss, start, epoch=1) == []
    assert keys(accuracy, loss, start) == ["at_chance", "loss_above_start"]


@pytest.mark.parametrize("loss", [30.0, math.inf, math.nan, None])
def test_a_loss_far_above_its_start_or_not_finite_is_flagged(loss):
    assert keys(series("validation_cross_entropy", 1.0, loss), series("cross_entropy", 2.3)) == ["loss_above_start"]


def test_an_overconfident_model_is_not_diverged():
    assert keys(series("validation_cross_entropy", 3.0), series("cross_entropy", 0.1)) == []


def test_without_validation_images_the_training_loss_is_judged():
    assert keys(series("cross_entropy", 2.3, 50.0)) == ["loss_above_start"]
    assert keys(series("cross_entropy", 2.3, 5.0)) == []
    assert keys() == []
