"""The training loop: its reports, stopping, and bit-for-bit resuming."""

import io
import math
import random

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.resolve import component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.batches import as_pixels
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import TrainingDiverged, fit, total_steps
from tests.worker.small_runs import MODEL, VALIDATION, batches, new_state, rows, run, weights

CATALOG = Catalog.built_in()


@pytest.mark.parametrize("estimator", ["random_projection", "forward_mode"])
@pytest.mark.parametrize("model", [("mlp", MODEL), ("cnn", {"width": 4, "norm": "batch", "dropout": 0.2})])
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(model, estimator):
    settings = {"params": {"estimator": estimator}, "every": 4, "uses": ("replace_logits",)}
    undisturbed = new_state(model=model)
    finished, reports = run(undisturbed, **settings)
    assert finished and undisturbed.step == 30
    assert any("penalty" in report.values for report in reports)

    for stop_at in random.Random(0).sample(range(1, 30), 5):
        before = new_state(model=model)
        finished, first = run(before, stop_at=stop_at, **settings)
        assert not finished and before.step == stop_at
        file = io.BytesIO()
        checkpoints.save(file, before)

        torch.manual_seed(99)  # another process has other random states
        torch.rand(17)
        after = new_state(model=model)
        checkpoints.load(file.getvalue(), after)
        finished, second = run(after, **settings)
        assert finished
        assert rows(first + second) == rows(reports)
        expected, actual = weights(undisturbed), weights(after)
        assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_a_run_resumes_exactly_from_a_checkpoint_of_on_step():
    undisturbed = new_state()
    _, reports = run(undisturbed, epochs=2)
    file, interrupted = io.BytesIO(), new_state()

    def keep(report):
        if report.step == 7:
            checkpoints.save(file, interrupted)

    fit(
        interrupted,
        batches(),
        VALIDATION,
        TrainingConfig(
            regularizer=component(CATALOG, "regularizer", "marginal_density").function,
            lambda_=0.1,
            schedule=component(CATALOG, "schedule", "constant").function,
            epochs=2,
        ),
        on_step=keep,
        should_stop=lambda: False,
    )
    after = new_state()
    checkpoints.load(file.getvalue(), after)
    _, rest = run(after, epochs=2)
    assert rows(rest) == rows(reports)[7:]
    assert all(torch.equal(value, weights(after)[name]) for name, value in weights(undisturbed).items())


def test_the_same_seed_repeats_and_another_one_differs():
    first, again, other = new_state(), new_state(), new_state(seed=1)
    expected = rows(run(first, epochs=1)[1])
    assert rows(run(again, epochs=1)[1]) == expected
    assert rows(run(other, epochs=1)[1]) != expected


def test_random_draws_in_on_step_do_not_change_training():
    results = []
    for draws in (0, 3):
        state, losses = new_state(), []

        def keep(report, draws=draws, losses=losses):
            torch.rand(draws)
            losses.append(report.values["loss"])

        fit(
            state,
            batches(),
            None,
            TrainingConfig(
                regularizer=component(CATALOG, "regularizer", "none").function,
                lambda_=0.0,
                schedule=component(CATALOG, "schedule", "constant").function,
                epochs=2,
            ),
            on_step=keep,
            should_stop=lambda: False,
        )
        results.append(losses)
    assert results[0] == results[1]


def test_which_metrics_exist_at_which_step():
    _, reports = run(new_state(), every=4, epochs=7)
    assert [report.step for report in reports] == list(range(1, 43)) and reports[0].total_steps == 42
    always = {"loss", "cross_entropy", "lambda_", "learning_rate", "train_accuracy"}
    norms = {"gradient_norm", "gradient_norm_log_prob", "gradient_norm_margin"}
    for report in reports:
        expected = set(always)
        if report.step % 4 == 0:
            expected |= {"penalty"}
        if report.step == 1 or report.step % 20 == 0:
            expected |= norms
        if report.step % 20 == 0:
            expected |= {"throughput"}
        if report.step % 6 == 0:
            expected |= {"validation_accuracy", "validation_cross_entropy"}
        assert report.values.keys() == expected, report.step
        assert all(isinstance(value, float) and math.isfinite(value) for value in report.values.values())
        assert report.epoch == report.step / 6


def test_long_runs_log_at_most_2000_steps_and_the_last(monkeypatch):
    monkeypatch.setattr("densitylab.worker.training.loop.LOGGED_STEPS", 10)
    _, reports = run(new_state(), epochs=4)
    assert [report.step for report in reports if "loss" in report.values] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert len(reports) == 24
    assert "gradient_norm" in reports[0].values


def test_metrics_equal_the_models_outputs():
    state = new_state(model=("mlp", {"hidden": 16}))
    _, reports = run(state, epochs=15)
    last = reports[-1].values
    state.model.eval()
    with torch.no_grad():
        logits = state.model(as_pixels(VALIDATION.images))
    assert last["validation_accuracy"] == (logits.argmax(dim=1) == VALIDATION.labels).double().mean().item()
    expected = torch.nn.functional.cross_entropy(logits, VALIDATION.labels).item()
    assert last["validation_cross_entropy"] == pytest.approx(expected, rel=1e-6)
    assert last["loss"] == pytest.approx(last["cross_entropy"] + 0.1 * last["penalty"], rel=1e-6)
    assert last["validation_accuracy"] > 0.5 > 0.3 > reports[5].values["validation_accuracy"]  # it learns
    assert last["lambda_"] == 0.1


def test_lambda_0_trains_exactly_as_none_does():
    results = []
    for key, lambda_ in (("none", 0.0), ("none", 0.3), ("marginal_density", 0.0)):
        state, reports = new_state(), []
        fit(
            state,
            batches(),
            None,
            TrainingConfig(
                regularizer=component(CATALOG, "regularizer", key).function,
                lambda_=lambda_,
                schedule=component(CATALOG, "schedule", "constant").function,
                epochs=4,
            ),
            on_step=reports.append,
            should_stop=lambda: False,
        )
        norms = [report.values["gradient_norm"] for report in reports if "gradient_norm" in report.values]
        results.append(([report.values["loss"] for report in reports], norms, weights(state)))
    for losses, norms, final in results[1:]:
        assert losses == results[0][0] and norms == results[0][1] and len(norms) == 2
        assert all(torch.equal(final[name], value) for name, value in results[0][2].items())


def test_total_steps_counts_the_smaller_last_batch():
    assert (total_steps(105, 20, 5), total_steps(100, 20, 5), total_steps(3600, 100, 15)) == (30, 25, 540)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where():
    state = new_state(optimizer=("sgd", {"lr": 10.0, "momentum": 0.99}))
    with pytest.raises(TrainingDiverged, match=r"the loss at step \d+ is (nan|inf).*smaller learning rate"):
        run(state, lambda_=1e6, epochs=40)
