"""Precision, compilation and determinism of training do not change the results beyond rounding."""

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog, RegularizerEntry
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.models import cnn, mlp
from densitylab.worker.optimizers.sgd import sgd
from densitylab.worker.resolve import component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.gradient_norms import gradient_norms
from densitylab.worker.training.loop import fit
from densitylab.worker.training.objective import objective
from densitylab.worker.training.precision import ComputeConfig, missing_compiler
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()

CPU = torch.device("cpu")
SIDE, CLASSES, IMAGES, BATCH = 8, 3, 42, 16  # an epoch: 16, 16 and 10 images
HALVES = {"bfloat16": 0.02, "float16": 0.003}  # expected relative error


def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return Dataset(images, torch.randint(CLASSES, (IMAGES,), generator=generator))


def trained(compute, *, regularizer="marginal_density", params=None, lambda_=0.1, epochs=3, build=None):
    """(state, loss of each step, gradient norms at the steps that have them)."""
    state = TrainingState.new(
        seed=0,
        device="cpu",
        threads=1,
        build_optimizer=sgd,
        build_model=build or (lambda: mlp.build(1, (SIDE, SIDE), CLASSES, hidden=32, activation="gelu", dropout=0.2)),
    )
    values = []
    chosen = component(CATALOG, RegularizerEntry, regularizer, params or {})
    fit(
        state,
        Batches(data(), batch_size=BATCH, seed=0, device="cpu"),
        None,
        TrainingConfig(
            regularizer=chosen.function,
            uses=[name for name in chosen.entry.uses if name == "replace_logits"],
            lambda_=lambda_,
            epochs=epochs,
            schedule=component(CATALOG, "schedule", "constant").function,
            compute=compute,
        ),
        on_step=lambda report: values.append(report.values),
        should_stop=lambda: False,
    )
    return state, [each["loss"] for each in values], [each["gradient_norm"] for each in values[:1]]


def penalty_and_gradient(model, half, regularizer="marginal_density", params=None, scale=1.0):
    """The mean penalty, and its gradient by the weights as one vector, as in a training step."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(32, 1, SIDE, SIDE, generator=generator), torch.randint(CLASSES, (32,), generator=generator)
    with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
        terms = objective(
            model,
            x,
            y,
            regularizer=component(CATALOG, "regularizer", regularizer, params or {}).function,
            lambda_=1.0,
            step=1,
            generator=torch.Generator().manual_seed(0),
        )
    scaled = (terms.loss - terms.cross_entropy) * scale
    gradients = torch.autograd.grad(scaled, list(model.parameters()), materialize_grads=True)
    return terms.penalty, torch.cat([gradient.flatten() for gradient in gradients]) / scale


@pytest.mark.parametrize("precision", ["float32", *HALVES])
def test_a_run_by_forward_mode_is_one_by_double_backward_up_to_rounding(precision):
    by = [trained(ComputeConfig(precision), params={"estimator": each}) for each in ("double_backward", "forward_mode")]
    (one, losses, norms), (two, same, same_norms) = by
    tolerance = 1e-4 if precision == "float32" else 5 * HALVES[precision]
    assert same == pytest.approx(losses, rel=tolerance) and same_norms == pytest.approx(norms, rel=tolerance)
    for ours, exact in zip(two.model.parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(ours, exact, rtol=tolerance, atol=tolerance)


def network(factor=30.0):
    torch.manual_seed(0)
    model = cnn.build(1, (SIDE, SIDE), CLASSES, width=8, activation="gelu", pooling="average")
    with torch.no_grad():
        model[-1].weight.mul_(factor)
    return model


@pytest.mark.parametrize("precision", HALVES)
def test_the_exact_penalty_in_half_precision_is_that_of_float32(precision):
    half, scale = ComputeConfig(precision).half(CPU), 2.0**16
    expected, exact = penalty_and_gradient(network(), None)
    penalty, gradient = penalty_and_gradient(network(), half, scale=scale)
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(expected.item(), rel=2 * HALVES[precision])
    assert (gradient - exact).norm() < 2 * HALVES[precision] * exact.norm()


@pytest.mark.parametrize("params", [{"estimator": "finite_difference"}, {"estimator": "random_projection"}])
@pytest.mark.parametrize("precision", HALVES)
def test_the_taylor_estimators_are_computed_in_float32_throughout(precision, params):
    expected, exact = penalty_and_gradient(network(), None, params=params)
    penalty, gradient = penalty_and_gradient(network(), ComputeConfig(precision).half(CPU), params=params)
    torch.testing.assert_close(penalty, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient, exact, rtol=1e-3, atol=1e-6)


def test_input_gradients_too_small_for_float16_do_not_vanish():
    model = network(factor=0.001)
    expected, _ = penalty_and_gradient(model, None)
    assert expected.sqrt() / SIDE < 1e-8  # of one pixel: float16's smallest number is 6e-8
    penalty, _ = penalty_and_gradient(model, torch.float16)
    assert penalty.item() == pytest.approx(expected.item(), rel=0.02)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(32, 1, SIDE, SIDE, generator=generator).requires_grad_()
    y = torch.randint(CLASSES, (32,), generator=generator)
    with torch.autocast("cpu", dtype=torch.float16):
        logged = gradient_norms(x, model(x), y).log_density
    assert logged.square().mean().item() == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize("precision", HALVES)
def test_training_in_half_precision_stays_near_float32(precision):
    _, exact, _ = trained(ComputeConfig("float32"))
    state, losses, norms = trained(ComputeConfig(precision))
    assert losses != exact and losses == pytest.approx(exact, rel=5 * HALVES[precision])
    assert norms[0] > 0
    assert all(parameter.dtype == torch.float32 for parameter in state.model.parameters())


@pytest.mark.parametrize("precision", ["float32", *HALVES])
def test_lambda_0_is_none_in_every_precision(precision):
    plain, losses, _ = trained(ComputeConfig(precision), regularizer="none")
    other, same, _ = trained(ComputeConfig(precision), lambda_=0.0)
    assert same == losses
    for one, two in zip(plain.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_in_float16_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls():
    state = TrainingState.new(
        seed=0,
        device="cpu",
        build_model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, CLASSES)),
        build_optimizer=sgd,
    )
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [parameter.clone() for parameter in state.model.parameters()]
    scales, clipped = [], []

    def on_step(report):
        clipped.append("weight_gradient_norm" in report.values)
        scales.append(state.scaler.get_scale())
        if report.step == 1:
            assert all(torch.equal(*pair) for pair in zip(before, state.model.parameters(), strict=True))

    fit(
        state,
        Batches(data(), batch_size=BATCH, seed=0, device="cpu"),
        None,
        TrainingConfig(
            lambda_=0.0,
            epochs=12,
            regularizer=component(CATALOG, "regularizer", "none").function,
            schedule=component(CATALOG, "schedule", "constant").function,
            compute=ComputeConfig("float16"),
            gradient_clip=1.0,
        ),
        on_step=on_step,
        should_stop=lambda: False,
    )
    assert not clipped[0] and clipped[-1]
    assert scales[0] == 2.0**39 and scales[-1] == scales[-2] > 1
    assert not torch.equal(before[0], next(iter(state.model.parameters())))


def test_auto_is_float32_on_the_cpu_and_unknown_precisions_are_refused():
    assert ComputeConfig("auto").half(CPU) is None
    with pytest.raises(ValueError, match="precision must be one of auto, float32, bfloat16, float16"):
        ComputeConfig("float8")


class Undetermined(torch.nn.Module):
    """A model with an operation without a deterministic implementation."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(SIDE * SIDE, CLASSES)

    def forward(self, x):
        logits = self.linear(x.flatten(1))
        with torch.no_grad():
            torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return logits


def test_deterministic_refuses_an_operation_without_such_a_form_and_is_off_afterwards():
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        trained(ComputeConfig(deterministic=True), build=Undetermined)
    assert not torch.are_deterministic_algorithms_enabled()
    trained(ComputeConfig(), build=Undetermined)


def test_deterministic_changes_nothing_on_the_cpu():
    (one, first, _), (two, second, _) = trained(ComputeConfig()), trained(ComputeConfig(deterministic=True))
    assert first == second
    assert all(torch.equal(*pair) for pair in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert "C++ compiler" in missing_compiler(CPU)


needs_compiler = pytest.mark.skipif(missing_compiler(CPU) is not None, reason="needs a C++ compiler")


@needs_compiler
@pytest.mark.slow  # compiling takes a minute
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("regularizer", "params", "lambda_"),
    [
        ("none", {}, 0.0),
        ("marginal_density", {}, 0.0),
        ("marginal_density", {"estimator": "forward_mode"}, 0.1),
        ("input_gradient", {"estimator": "forward_mode", "target": "log_prob"}, 0.1),
        ("marginal_density", {"estimator": "finite_difference"}, 0.1),
        ("marginal_density", {"estimator": "random_projection"}, 0.1),
        ("adversarial_training", {"steps": 2}, 0.5),
        ("trades", {"steps": 2}, 0.5),
        ("gaussian_noise", {}, 0.5),
    ],
)
def test_a_compiled_run_is_the_eager_one_up_to_rounding(regularizer, params, lambda_):
    how = {"regularizer": regularizer, "params": params, "lambda_": lambda_, "epochs": 8}
    eager, expected, norms = trained(ComputeConfig(), **how)
    compiled, losses, same_norms = trained(ComputeConfig(compiled=True), **how)
    assert losses == pytest.approx(expected, rel=1e-3) and same_norms == pytest.approx(norms, rel=1e-3)
    for one, two in zip(eager.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0.01, atol=1e-3)


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_torch_still_refuses_double_backward_under_compile():
    with pytest.raises(RuntimeError, match="double backward"):
        trained(ComputeConfig(compiled=True))
