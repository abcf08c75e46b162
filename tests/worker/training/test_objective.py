"""Cross-entropy + λ · penalty, applied lazily; λ = 0 is the plain loss, bit for bit."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from densitylab.backend.shared.catalog import Catalog, RegularizerEntry
from densitylab.worker.models import cnn, mlp
from densitylab.worker.optimizers.sgd import sgd
from densitylab.worker.resolve import component
from densitylab.worker.training.objective import objective

CATALOG = Catalog.built_in()


def batch(step=0):
    generator = torch.Generator().manual_seed(step)
    return torch.rand(6, 1, 8, 8, generator=generator), torch.randint(3, (6,), generator=generator)


def network(name):
    torch.manual_seed(3)
    if name == "mlp":
        return mlp.build(1, (8, 8), 3, hidden=16, dropout=0.3).train()
    return cnn.build(1, (8, 8), 3, width=4, norm="batch", dropout=0.3).train()


def losses(network_name, regularizer, lambda_, observe):
    """Losses and final weights of eight SGD steps."""
    model = network(network_name)
    optimizer = sgd(model.parameters())
    generator = torch.Generator().manual_seed(0)
    losses = []
    for step in range(1, 9):
        terms = objective(
            model,
            *batch(step),
            regularizer=regularizer,
            lambda_=lambda_,
            step=step,
            generator=generator,
            observe=observe,
        )
        optimizer.zero_grad()
        terms.loss.backward(inputs=list(model.parameters()))
        optimizer.step()
        losses.append(terms.loss.item())
    return losses, torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("estimator", ["double_backward", "forward_mode", "finite_difference", "random_projection"])
@pytest.mark.parametrize("network_name", ["mlp", "cnn"])
def test_lambda_0_gives_exactly_the_losses_of_none(network_name, estimator, observe):
    none = component(CATALOG, "regularizer", "none").function
    smoothing = component(CATALOG, "regularizer", "marginal_density", {"estimator": estimator}).function
    plain_losses, plain_weights = losses(network_name, none, 0.1, False)
    zero_losses, zero_weights = losses(network_name, smoothing, 0.0, observe)
    assert zero_losses == plain_losses
    assert torch.equal(zero_weights, plain_weights)
    assert losses(network_name, smoothing, 0.1, False)[0] != plain_losses


def test_the_loss_is_cross_entropy_plus_lambda_times_every_times_the_mean_penalty():
    model = network("mlp").eval()
    smoothing = component(CATALOG, "regularizer", "marginal_density").function
    for step in range(1, 9):
        terms = objective(model, *batch(), regularizer=smoothing, lambda_=0.5, step=step, every=4)
        if step % 4 == 0:
            torch.testing.assert_close(terms.loss, terms.cross_entropy + 0.5 * 4 * terms.penalty)
            assert terms.penalty > 0 and not terms.penalty.requires_grad
        else:
            assert terms.penalty is None and terms.loss is terms.cross_entropy


def test_with_lambda_0_the_penalty_is_computed_for_the_metrics_only():
    model = network("mlp").eval()
    smoothing = component(CATALOG, "regularizer", "marginal_density").function
    unobserved = objective(model, *batch(), regularizer=smoothing, lambda_=0.0, step=1)
    observed = objective(model, *batch(), regularizer=smoothing, lambda_=0.0, step=1, observe=True)
    applied = objective(model, *batch(), regularizer=smoothing, lambda_=1.0, step=1)
    assert unobserved.penalty is None
    assert torch.equal(observed.penalty, applied.penalty)
    assert observed.loss is observed.cross_entropy


@pytest.mark.parametrize("estimator", ["finite_difference", "random_projection"])
def test_the_penalty_uses_the_dropout_masks_of_the_main_forward(estimator):
    torch.manual_seed(0)
    model = mlp.build(1, (8, 8), 3, hidden=64, activation="gelu", dropout=0.5).train()
    values = {}
    for name in ("double_backward", estimator):
        torch.manual_seed(1)
        regularizer = component(CATALOG, "regularizer", "marginal_density", {"estimator": name}).function
        generator = torch.Generator().manual_seed(0)
        terms = objective(model, *batch(), regularizer=regularizer, lambda_=1.0, step=1, generator=generator)
        values[name] = terms.penalty.item()
    assert values[estimator] < 5 * values["double_backward"]  # fresh masks: thousands of times more


class Flops(TorchDispatchMode):
    """Counts the multiplications of matrix products and convolutions."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize(
    ("key", "params", "passes"),
    [
        ("marginal_density", {"estimator": "double_backward"}, 6),
        ("marginal_density", {"estimator": "forward_mode"}, 8),
        ("marginal_density", {"estimator": "finite_difference"}, 7),
        ("marginal_density", {"estimator": "random_projection"}, 6),
        ("input_gradient", {}, 6),
        ("input_gradient", {"estimator": "forward_mode"}, 8),
        ("jacobian", {}, 6),
        ("curvature", {}, 12),
        ("gaussian_noise", {}, 6),
        ("adversarial_training", {"steps": 5}, 6 + 2 * 5),
        ("trades", {"steps": 5}, 7 + 2 * 5),
    ],
)
def test_a_step_costs_as_many_passes_as_stated(key, params, passes, dropout):
    model = mlp.build(1, (8, 8), 3, hidden=128, layers=12, activation="gelu", dropout=dropout).train()
    counts = {}
    for name, regularizer in (
        ("none", component(CATALOG, RegularizerEntry, "none")),
        ("penalised", component(CATALOG, RegularizerEntry, key, params)),
    ):
        generator = torch.Generator().manual_seed(0)
        uses = tuple(name for name in regularizer.entry.uses if name == "replace_logits")
        with Flops() as flops:
            terms = objective(
                model,
                *batch(),
                regularizer=regularizer.function,
                uses=uses,
                lambda_=0.1,
                step=1,
                generator=generator,
            )
            terms.loss.backward(inputs=list(model.parameters()))
        counts[name] = flops.total
    # a plain step is 3 passes; the first and last layers differ a little
    assert 3 * counts["penalised"] / counts["none"] == pytest.approx(passes, rel=0.03)
