"""Schedules of λ: formulas, and controllers that reach their target from distant first values."""

import io
import math

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog, ScheduleEntry
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_optimizer, component
from densitylab.worker.schedules.budget import budget
from densitylab.worker.schedules.controller_state import ControllerState
from densitylab.worker.schedules.cosine import cosine
from densitylab.worker.schedules.linear_warm_up import linear_warm_up
from densitylab.worker.schedules.robustness import robustness
from densitylab.worker.schedules.step import step as step_schedule
from densitylab.worker.schedules.target import target
from densitylab.worker.training import checkpoints, seeds
from densitylab.worker.training.batches import Batches, as_pixels
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.robust_share import RobustShare
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()


def over_ten_steps(schedule, lambda_=2.0, **params):
    return [schedule(lambda_, step, 10, ControllerState(), **params) for step in range(1, 11)]


@pytest.mark.parametrize("key", [entry.key for entry in CATALOG.all(ScheduleEntry)])
def test_zero_stays_zero(key):
    schedule = component(CATALOG, "schedule", key, {}).function
    state = ControllerState()
    for step in range(1, 11):
        assert schedule(0.0, step, 10, state) == 0
        state = state.after(0.0, cross_entropy=2.0, squared_gradient_norm=3.0)


def test_linear_warm_up():
    expected = [0.5, 1.0, 1.5, 2.0] + [2.0] * 6
    assert over_ten_steps(linear_warm_up, warm_up=0.4) == pytest.approx(expected)
    assert over_ten_steps(linear_warm_up, warm_up=1.0)[-1] == 2.0
    assert over_ten_steps(linear_warm_up, warm_up=0.01) == [2.0] * 10


def test_cosine():
    values = over_ten_steps(cosine)
    assert values == pytest.approx([1 + math.cos(math.pi * k / 9) for k in range(10)])
    rising = over_ten_steps(cosine, start=0.1, end=3.0)
    assert rising == sorted(rising) and rising[0] == pytest.approx(0.2) and rising[-1] == pytest.approx(6.0)
    assert cosine(2.0, 1, 1, ControllerState(), end=0.0) == 2.0


def test_step():
    assert over_ten_steps(step_schedule) == pytest.approx([2.0] * 5 + [0.2] * 2 + [0.02] * 3)
    assert over_ten_steps(step_schedule, at=[0.0, 1.0], factor=3.0) == pytest.approx([6.0] * 10)


def test_running_means_and_the_lowest():
    state = ControllerState().after(1.0, cross_entropy=2.0, squared_gradient_norm=4.0)
    assert state == ControllerState(1.0, 2.0, 2.0, 4.0)
    state = state.after(0.5, cross_entropy=1.0, squared_gradient_norm=5.0)
    assert state == ControllerState(0.5, pytest.approx(1.9), pytest.approx(1.9), pytest.approx(4.1))
    state = state.after(0.5, cross_entropy=9.0)
    assert state.cross_entropy == pytest.approx(2.61) and state.lowest_cross_entropy == pytest.approx(1.9)
    assert state.squared_gradient_norm == pytest.approx(4.1)


def test_target_moves_log_lambda_by_the_clipped_relative_error():
    def next_lambda(norm, lambda_=0.3):
        return target(0.1, 5, 10, ControllerState(lambda_, None, None, norm**2), gradient_norm=2.0)

    assert target(0.1, 1, 10, ControllerState(), gradient_norm=2.0) == 0.1
    assert next_lambda(2.0) == pytest.approx(0.3)
    assert next_lambda(2.5) == pytest.approx(0.3 * math.exp(0.05 * 0.25))
    assert next_lambda(1.0) == pytest.approx(0.3 * math.exp(-0.05 * 0.5))
    assert next_lambda(100.0) == pytest.approx(0.3 * math.exp(0.05))
    assert next_lambda(0.0) == pytest.approx(0.3 * math.exp(-0.05))
    assert next_lambda(0.0, 1e-6) == 1e-6 and next_lambda(9.0, 1e3) == 1e3
    assert target(0.0, 5, 10, ControllerState(0.0, None, None, 9.0)) == 0.0


def test_budget_waits_until_it_has_been_met_once():
    def next_lambda(mean, lowest, lambda_=0.3, **params):
        return budget(0.1, 5, 10, ControllerState(lambda_, mean, lowest), cross_entropy=0.5, **{"wait": 1.0} | params)

    assert budget(0.1, 1, 10, ControllerState(), cross_entropy=0.5) == 0.1
    assert next_lambda(0.6, 0.6, lambda_=0.1) == 0.1
    assert next_lambda(0.5, 0.5) == pytest.approx(0.3)
    assert next_lambda(0.25, 0.25) == pytest.approx(0.3 * math.exp(0.05 * 0.5))
    assert next_lambda(0.6, 0.5) == pytest.approx(0.3 * math.exp(-0.05 * 0.2))
    assert next_lambda(7.0, 0.5) == pytest.approx(0.3 * math.exp(-0.05))
    assert next_lambda(7.0, 0.5, lambda_=0.001) == 0.001  # λ₀ / 100
    assert next_lambda(0.0, 0.0, lambda_=1e3) == 1e3
    assert next_lambda(0.6, 0.6, lambda_=0.1, wait=0.5) == 0.1  # step 5 of 10: the last step of the wait
    assert next_lambda(0.6, 0.6, wait=0.4) == pytest.approx(0.3 * math.exp(-0.05 * 0.2))
    assert budget(0.0, 5, 10, ControllerState(0.0, 0.1, 0.1)) == 0.0


def test_robustness_moves_log_lambda_after_a_measurement_alone():
    def next_lambda(share, lambda_=0.3):
        return robustness(0.1, 5, 10, ControllerState(lambda_, robust_share=share), robust_share=0.4)

    assert robustness(0.1, 1, 10, ControllerState(), robust_share=0.4) == 0.1
    assert next_lambda(None) == 0.3
    assert next_lambda(0.4) == pytest.approx(0.3)
    assert next_lambda(0.3) == pytest.approx(0.3 * math.exp(0.5 * 0.25))
    assert next_lambda(0.6) == pytest.approx(0.3 * math.exp(-0.5 * 0.5))
    assert next_lambda(0.0) == pytest.approx(0.3 * math.exp(0.5))
    assert next_lambda(1.0) == pytest.approx(0.3 * math.exp(-0.5))
    assert next_lambda(1.0, 1e-6) == 1e-6 and next_lambda(0.0, 1e3) == 1e3
    assert robustness(0.0, 5, 10, ControllerState(0.0, robust_share=0.1)) == 0.0
    assert ControllerState(0.3, robust_share=0.5).after(0.3).robust_share is None


def test_the_robust_share_is_that_of_the_right_answers_on_fixed_images():
    state = new_state()
    share = RobustShare(epsilon=EPSILON, samples=300)
    train(state, "constant", {}, 0.0, epochs=10)
    device = torch.device("cpu")
    measured = share.of(state.model, VALIDATION, device, seed=0)
    assert 0 < measured < 1 and share.of(state.model, VALIDATION, device, seed=0) == measured
    assert RobustShare(epsilon=0.0).of(state.model, VALIDATION, device, seed=0) == 1
    assert RobustShare(epsilon=1.0).of(state.model, VALIDATION, device, seed=0) == 0
    drawn = torch.randperm(500, generator=seeds.generator(0, seeds.ROBUST_SHARE, 0))[:300]
    x, y = as_pixels(VALIDATION.images[drawn]), VALIDATION.labels[drawn]
    # no point of the ball raises a linear model's logit of another class, over that of y, by more than this
    weight, logits = state.model[1].weight, state.model(x)
    up, down = ((x + EPSILON).clamp(max=1) - x).flatten(1), (x - (x - EPSILON).clamp(min=0)).flatten(1)
    apart = [weight[None, j] - weight[y] for j in range(10)]
    reach = torch.stack([(d.relu() * up + (-d).relu() * down).sum(dim=1) for d in apart], dim=1)
    safe = (logits - logits.gather(1, y[:, None]) + reach).scatter(1, y[:, None], -1.0).amax(dim=1) < 0
    right = logits.argmax(dim=1) == y
    assert 0 < int((safe & right).sum()) / int(right.sum()) <= measured
    always_0 = linear()
    always_0[1].weight.data.zero_()
    always_0[1].bias.data = torch.eye(10)[0]
    no_0 = VALIDATION.labels != 0
    assert share.of(always_0, Dataset(VALIDATION.images[no_0], VALIDATION.labels[no_0]), device, seed=0) is None


def bright_rows(n=500):
    """Ten different images, each with a bright row, and 30 % wrong labels.

    The labels can't be memorised, and a linear model can't flatten log p(x) without losing its logits: so the
    trade-off between cross-entropy and smoothness converges.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(n) % 10
    images = torch.zeros(n, 1, 56, 28, dtype=torch.uint8)
    images[torch.arange(n), 0, rows * 5, :] = 120
    wrong = torch.rand(n, generator=generator) < 0.3
    return Dataset(images, torch.where(wrong, torch.randint(10, (n,), generator=generator), rows))


def fading_rows(n=500):
    """The same images, right labels, and a brightness of its own for each image, so that their margins differ."""
    generator = torch.Generator().manual_seed(1)
    brightness = 0.1 + 0.9 * torch.rand(n, 1, 1, 1, generator=generator)
    return Dataset((DATA.images[:n] * brightness).to(torch.uint8), torch.arange(n) % 10)


DATA = bright_rows()
VALIDATION = fading_rows()
EPSILON = 0.06


def linear():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(56 * 28, 10))


def new_state(build=linear):
    return TrainingState.new(
        seed=0,
        device="cpu",
        build_model=build,
        threads=1,
        build_optimizer=lambda parameters: build_optimizer(CATALOG, "adam", {"lr": 0.003}, parameters),
    )


def train(state, key, params, lambda_, epochs, *, regularizer="marginal_density", stop_at=None, validation=VALIDATION):
    schedule = component(CATALOG, "schedule", key, params)
    reports = []
    fit(
        state,
        Batches(DATA, batch_size=50, seed=0, device="cpu"),
        validation,
        TrainingConfig(
            regularizer=component(CATALOG, "regularizer", regularizer).function,
            lambda_=lambda_,
            schedule=schedule.function,
            observes=schedule.entry.observes,
            robust_share=RobustShare(**schedule.trainer) if "robust_share" in schedule.entry.observes else None,
            epochs=epochs,
        ),
        on_step=reports.append,
        should_stop=lambda: state.step == stop_at,
    )
    return reports


def last(reports, name, count=40):
    values = [report.values[name] for report in reports[-count:] if name in report.values]
    return sum(values) / len(values)


@pytest.mark.parametrize("target_norm", [0.3, 1.0])
def test_target_reaches_its_gradient_norm_from_both_ends(target_norm):
    lambdas = []
    for first in (0.01, 1.0):
        state = new_state()
        reports = train(state, "target", {"gradient_norm": target_norm}, first, epochs=40)
        assert reports[0].values["lambda_"] == first
        root_mean_square = math.sqrt(last(reports, "penalty"))  # p = 2, k = 2: the penalty is ‖∇ log p‖²
        assert root_mean_square == pytest.approx(target_norm, rel=0.05)
        assert math.sqrt(state.controller.squared_gradient_norm) == pytest.approx(target_norm, rel=0.05)
        lambdas.append(last(reports, "lambda_"))
    assert max(lambdas) < 1.2 * min(lambdas)  # independent of the first value


def test_budget_holds_its_cross_entropy_from_both_ends():
    lambdas = []
    for first in (0.4, 40.0):  # with λ = 40 the cross-entropy never reaches the budget
        reports = train(new_state(), "budget", {"cross_entropy": 1.5}, first, epochs=100)
        assert last(reports, "cross_entropy") == pytest.approx(1.5, rel=0.05)
        values = [report.values["lambda_"] for report in reports]
        assert values[:5] == [first] * 5 and len(set(values)) > 50
        lambdas.append(last(reports, "lambda_"))
    assert max(lambdas) < 1.2 * min(lambdas)  # independent of the first value


def test_robustness_reaches_its_share_from_both_ends():
    lambdas = []
    for first in (0.001, 1.0):
        settings = {"robust_share": 0.58, "epsilon": EPSILON, "samples": 200, "every": 5}
        reports = train(new_state(), "robustness", settings, first, epochs=50)
        values = [report.values["lambda_"] for report in reports]
        assert values[:5] == [first] * 5 and values[5] != first
        assert all(values[begin : begin + 5] == [values[begin]] * 5 for begin in range(0, 500, 5))
        assert ["validation_robust_share" in report.values for report in reports] == ([False] * 4 + [True]) * 100
        assert last(reports, "validation_robust_share", 100) == pytest.approx(0.58, rel=0.1)
        lambdas.append(last(reports, "lambda_", 100))
    assert max(lambdas) < 1.5 * min(lambdas)  # independent of the first value


def test_robustness_without_validation_images_is_refused():
    with pytest.raises(ValueError, match="this schedule of λ needs validation images, and there are none"):
        train(new_state(), "robustness", {}, 0.1, epochs=1, validation=None)


def test_a_controller_works_with_other_regularizers_too():
    reports = train(new_state(), "target", {"gradient_norm": 0.5}, 0.1, epochs=40, regularizer="input_gradient")
    assert last(reports, "gradient_norm") == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("target", {"gradient_norm": 0.3}),
        ("budget", {"cross_entropy": 2.5}),
        ("robustness", {"robust_share": 0.58, "epsilon": EPSILON, "samples": 50, "every": 2}),
    ],
)
def test_a_resumed_run_under_a_controller_is_the_undisturbed_one_bit_for_bit(key, params):
    undisturbed = new_state()
    reports = train(undisturbed, key, params, 0.1, epochs=6)
    assert len({report.values["lambda_"] for report in reports}) > 20
    for stop_at in (1, 7, 8, 20):
        before, file = new_state(), io.BytesIO()
        first = train(before, key, params, 0.1, epochs=6, stop_at=stop_at)
        checkpoints.save(file, before)
        after = new_state()
        checkpoints.load(file.getvalue(), after)
        assert after.controller == before.controller
        second = train(after, key, params, 0.1, epochs=6)
        assert [r.values["lambda_"] for r in first + second] == [r.values["lambda_"] for r in reports]
        expected, actual = undisturbed.model.state_dict(), after.model.state_dict()
        assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_checkpoints_from_before_the_controllers_are_read():
    state = new_state()
    saved = state.state_dict()
    del saved["seen"]
    state.load_state_dict(saved)
    assert state.controller == ControllerState()
