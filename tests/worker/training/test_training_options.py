"""Learning-rate schedules, clipping, weight averaging, early stopping, sampling and augmentation: their
effects, and bit-for-bit resuming."""

import io
import random

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.resolve import build_model, component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.config import EarlyStop, TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.precision import ComputeConfig
from tests.worker.small_runs import MODEL, VALIDATION, batches, new_state, rows, run, weights

CATALOG = Catalog.built_in()

NOISY = {"params": {"estimator": "random_projection"}, "epochs": 5}


def schedule(key, **params):
    return component(CATALOG, "lr_schedule", key, params).function


def augmentation(key, **params):
    return component(CATALOG, "augmentation", key, params).function


OPTIONS = {
    "lr_schedule": {"lr_schedule": schedule("cosine", warm_up=0.3)},
    "gradient_clip": {"gradient_clip": 0.5},
    "early_stop": {"early_stop": EarlyStop(2, "validation_accuracy")},
    "augmentation": {"drawn": {"augmentation": augmentation("flip_and_crop")}},
    "sampling": {"drawn": {"sampling": "class_balanced"}},
    "streaming": {"drawn": {"resident": False}},
}
OPTIONS["all at once"] = {
    **OPTIONS["lr_schedule"],
    **OPTIONS["gradient_clip"],
    **OPTIONS["early_stop"],
    "drawn": {"augmentation": augmentation("random_crop"), "sampling": "class_balanced", "resident": False},
}


def interrupted(stop_at, *, ema_decay=None, **options):
    """(metric rows, state) of a run that is stopped at this step and continues in a new state."""
    before = new_state(ema_decay=ema_decay)
    finished, first = run(before, stop_at=stop_at, **options)
    assert not finished
    file = io.BytesIO()
    checkpoints.save(file, before)
    torch.manual_seed(99)
    after = new_state(ema_decay=ema_decay)
    checkpoints.load(file.getvalue(), after)
    finished, second = run(after, **options)
    assert finished
    return rows(first + second), after


def same_weights(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.few(6)
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(name, ema_decay):
    options = NOISY | OPTIONS[name]
    undisturbed = new_state(ema_decay=ema_decay)
    finished, reports = run(undisturbed, **options)
    assert finished
    for stop_at in random.Random(name).sample(range(1, undisturbed.step), 2):
        resumed_rows, state = interrupted(stop_at, ema_decay=ema_decay, **options)
        assert resumed_rows == rows(reports) and state.step == undisturbed.step
        assert same_weights(weights(undisturbed), weights(state))
        assert same_weights(undisturbed.kept_weights(), state.kept_weights())


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_changes_training(name):
    if name in ("early_stop", "streaming"):
        pytest.skip("these leave the steps as they are")
    assert rows(run(new_state(), **OPTIONS[name], epochs=2)[1]) != rows(run(new_state(), epochs=2)[1])


def test_a_resumed_float16_run_keeps_the_scale_of_its_loss():
    options = NOISY | {"compute": ComputeConfig("float16"), "gradient_clip": 1.0}
    undisturbed = new_state()
    undisturbed.scaler = torch.amp.GradScaler("cpu", growth_interval=5)
    _, reports = run(undisturbed, **options)
    before = new_state()
    before.scaler = torch.amp.GradScaler("cpu", growth_interval=5)
    _, first = run(before, stop_at=13, **options)
    file = io.BytesIO()
    checkpoints.save(file, before)
    after = new_state()
    checkpoints.load(file.getvalue(), after)
    _, second = run(after, **options)
    assert rows(first + second) == rows(reports) and same_weights(weights(undisturbed), weights(after))
    assert after.scaler.get_scale() == undisturbed.scaler.get_scale() > 2.0**16


def test_the_learning_rate_is_that_of_the_schedule_and_is_logged():
    state = new_state(optimizer=("sgd", {"lr": 0.2}))
    _, reports = run(state, epochs=2, lr_schedule=schedule("step", at=[0.5], factor=0.5))
    assert [report.values["learning_rate"] for report in reports] == [0.2] * 6 + [0.1] * 6
    assert state.optimizer.param_groups[0]["lr"] == 0.1


def test_clipping_bounds_the_step_and_logs_the_norm_before():
    longest = 0.01
    state = new_state(optimizer=("sgd", {"lr": 1.0, "momentum": 0.0}))
    before = torch.cat([parameter.detach().flatten().clone() for parameter in state.model.parameters()])
    _, reports = run(state, epochs=1, gradient_clip=longest, stop_at=1)
    after = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
    assert (after - before).norm().item() == pytest.approx(longest, rel=1e-4)
    assert reports[0].values["weight_gradient_norm"] > 10 * longest
    assert "weight_gradient_norm" not in run(new_state(), epochs=1)[1][0].values


def test_a_large_clip_changes_nothing():
    plain, clipped = new_state(), new_state()
    run(plain, epochs=1)
    run(clipped, epochs=1, gradient_clip=1e6)
    assert same_weights(weights(plain), weights(clipped))


def test_the_average_is_the_moving_mean_of_the_weights_and_is_what_is_validated_and_stored():
    state, decay = new_state(ema_decay=0.8, model=("cnn", {"width": 4, "norm": "batch"})), 0.8
    expected = weights(state)
    reports = []

    def follow(report):
        reports.append(report)
        now = min(decay, (1 + report.step) / (10 + report.step))
        for name, value in state.model.state_dict().items():
            floating = value.is_floating_point()
            expected[name] = now * expected[name] + (1 - now) * value if floating else value.clone()

    fit(
        state,
        batches(),
        VALIDATION,
        TrainingConfig(
            regularizer=component(CATALOG, "regularizer", "none").function,
            lambda_=0.0,
            epochs=2,
            schedule=component(CATALOG, "schedule", "constant").function,
        ),
        on_step=follow,
        should_stop=lambda: False,
    )
    for name, value in state.kept_weights().items():
        torch.testing.assert_close(value, expected[name])
    assert not same_weights(weights(state), state.kept_weights())

    file = io.BytesIO()
    checkpoints.save(file, state)
    stored = build_model(CATALOG, "cnn", {"width": 4, "norm": "batch"}, CATALOG.find("dataset", "blockmnist"))
    checkpoints.load_weights(file.getvalue(), stored)
    assert same_weights(state.kept_weights(), stored.state_dict())
    with torch.no_grad():
        logits = stored.eval()(VALIDATION.images / 255)
    shown = reports[-1].values["validation_accuracy"]
    assert shown == (logits.argmax(dim=1) == VALIDATION.labels).double().mean().item()


def test_averaging_does_not_change_training():
    plain, averaged = new_state(), new_state(ema_decay=0.9)
    run(plain, epochs=2)
    run(averaged, epochs=2)
    assert same_weights(weights(plain), weights(averaged))


def values_of(reports, metric):
    return [report.values[metric] for report in reports if metric in report.values]


@pytest.mark.parametrize("metric", ["validation_cross_entropy", "validation_accuracy"])
def test_it_stops_after_the_patience_and_keeps_the_best_epochs_weights(metric):
    options = {"optimizer": ("adam", {"lr": 0.02})}
    state = new_state(**options)
    _, reports = run(state, epochs=40, lambda_=0.0, early_stop=EarlyStop(3, metric))
    history = values_of(reports, metric)
    best = history.index(min(history) if metric == "validation_cross_entropy" else max(history))
    assert len(history) == best + 1 + 3 < 40 and state.step == 6 * len(history)
    assert (state.best.epoch, state.best.value) == (best + 1, history[best])

    shorter = new_state(**options)
    run(shorter, epochs=40, lambda_=0.0, stop_at=6 * (best + 1))
    assert same_weights(weights(shorter), state.kept_weights())
    assert not same_weights(weights(state), state.kept_weights())


def test_resuming_a_run_that_stopped_early_ends_at_once():
    early_stop = {"epochs": 40, "lambda_": 0.0, "early_stop": EarlyStop(3)}
    state = new_state(optimizer=("adam", {"lr": 0.02}))
    run(state, **early_stop)
    file = io.BytesIO()
    checkpoints.save(file, state)
    again = new_state(optimizer=("adam", {"lr": 0.02}))
    checkpoints.load(file.getvalue(), again)
    assert run(again, **early_stop) == (True, [])


def test_early_stop_without_validation_images_is_refused():
    with pytest.raises(ValueError, match="early stopping needs validation images"):
        run(new_state(), validation=None, early_stop=EarlyStop(3))


def test_lambda_0_is_none_with_every_option():
    results = []
    for regularizer, lambda_ in (("none", 0.3), ("marginal_density", 0.0)):
        state, losses = new_state(ema_decay=0.9), []
        how = {name: value for name, value in OPTIONS["all at once"].items() if name != "drawn"}
        fit(
            state,
            batches(**OPTIONS["all at once"]["drawn"]),
            VALIDATION,
            TrainingConfig(
                lambda_=lambda_,
                epochs=4,
                regularizer=component(CATALOG, "regularizer", regularizer).function,
                schedule=component(CATALOG, "schedule", "constant").function,
                **how,
            ),
            should_stop=lambda: False,
            on_step=lambda report, losses=losses: losses.append(report.values["loss"]),
        )
        results.append((losses, state.kept_weights()))
    assert results[0][0] == results[1][0] and same_weights(results[0][1], results[1][1])


def test_a_checkpoint_from_before_these_options_is_read():
    state = new_state()
    run(state, epochs=1)
    file = io.BytesIO()
    saved = state.state_dict()
    old = {name: value for name, value in saved.items() if name not in ("scaler", "average", "best")}
    torch.save({"format": 1, "state": old}, file)
    after = new_state()
    checkpoints.load(file.getvalue(), after)
    assert after.step == state.step and same_weights(weights(state), weights(after))
    stored = build_model(CATALOG, "mlp", MODEL, CATALOG.find("dataset", "blockmnist"))
    checkpoints.load_weights(file.getvalue(), stored)
    assert same_weights(weights(state), stored.state_dict())
