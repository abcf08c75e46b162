"""Accumulated gradients and recomputed activations give the numbers of a plain batch; smoothing and weights torch's."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.worker.resolve import build_model, component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.activation_checkpointing import checkpointed
from densitylab.worker.training.cross_entropy import CrossEntropy, balanced_weights
from densitylab.worker.training.objective import objective
from tests.worker import small_runs

CATALOG = Catalog.built_in()
SMOOTH = ("mlp", {"hidden": 16, "activation": "gelu"})
PENALTIES = ["marginal_density", "input_gradient", "curvature", "none"]


def test_the_cross_entropy_is_torchs():
    logits, y = torch.randn(30, 4), torch.arange(30) % 4
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    loss = CrossEntropy(0.1, weights).of_batch(y)
    expected = F.cross_entropy(logits, y, weight=weights, label_smoothing=0.1)
    torch.testing.assert_close(loss.mean(logits, y), expected)
    parts = [loss.per_sample(logits[part], y[part]).sum() for part in (slice(0, 7), slice(7, 30))]
    torch.testing.assert_close(sum(parts) / 30, expected)
    assert torch.equal(CrossEntropy().mean(logits, y), F.cross_entropy(logits, y))


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 10 + [1] * 3 + [3] * 7)
    expected = (
        compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy()) * 3 / 4
    )  # of three classes
    assert balanced_weights(labels, 4)[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert balanced_weights(labels, 4)[2] == 0


@pytest.mark.parametrize("key", PENALTIES)
def test_parts_of_a_batch_give_the_steps_of_the_whole(key):
    def trained(parts):
        state = small_runs.new_state(model=SMOOTH)
        _, reports = small_runs.run(state, key=key, lambda_=0.3, epochs=2, parts=parts, cross_entropy=CrossEntropy(0.1))
        return small_runs.weights(state), small_runs.rows(reports)

    whole, whole_rows = trained(1)
    divided, divided_rows = trained(3)
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=1e-5)
    for (_, _, one), (_, _, other) in zip(whole_rows, divided_rows, strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-5)


def test_class_weights_count_over_the_whole_batch():
    weights = balanced_weights(small_runs.TRAIN.labels, 10)

    def trained(parts):
        state = small_runs.new_state(model=SMOOTH)
        small_runs.run(state, epochs=2, parts=parts, cross_entropy=CrossEntropy(weights=weights))
        return small_runs.weights(state)

    whole, divided = trained(1), trained(4)
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("options", [{"parts": 3}, {"activation_checkpointing": True}, {"cross_entropy": "weighted"}])
def test_a_run_that_was_stopped_continues_bit_for_bit(options, tmp_path):
    if options.get("cross_entropy"):
        options = {"cross_entropy": CrossEntropy(0.1, balanced_weights(small_runs.TRAIN.labels, 10))}
    state = small_runs.new_state()  # with dropout
    _, whole = small_runs.run(state, epochs=3, **options)
    stopped = small_runs.new_state()
    _, first = small_runs.run(stopped, epochs=3, stop_at=8, **options)
    checkpoints.save(tmp_path / "checkpoint.pt", stopped)
    resumed = small_runs.new_state()
    checkpoints.load((tmp_path / "checkpoint.pt").read_bytes(), resumed)
    _, rest = small_runs.run(resumed, epochs=3, **options)
    assert small_runs.rows(first) + small_runs.rows(rest) == small_runs.rows(whole)
    expected = small_runs.weights(state)
    assert all(torch.equal(value, expected[name]) for name, value in small_runs.weights(resumed).items())


GREY = DatasetEntry("grey", "Grey", "", "", num_classes=3, channels=1, image_size=(16, 16))
NETWORKS = [
    ("mlp", {"layers": 3, "hidden": 16, "dropout": 0.3}),
    ("cnn", {"width": 4, "norm": "batch", "dropout": 0.3}),
    ("resnet18", {}),
    ("preact_resnet18", {}),
    ("vit", {"depth": 2, "width": 32, "dropout": 0.2}),
]


@pytest.mark.parametrize(("key", "params"), NETWORKS, ids=[key for key, _ in NETWORKS])
@pytest.mark.parametrize("regularizer", ["marginal_density", "curvature", "adversarial_training", "none"])
@pytest.mark.few(6)
def test_recomputed_activations_give_the_same_gradients_and_running_statistics(key, params, regularizer):
    torch.manual_seed(0)
    plain = build_model(CATALOG, key, params, GREY).train()
    other = copy.deepcopy(plain)
    penalty = component(CATALOG, "regularizer", regularizer, {"steps": 2} if "adv" in regularizer else {}).function

    def step(model):
        torch.manual_seed(1)
        x, y = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
        terms = objective(
            model,
            x,
            y,
            regularizer=penalty,
            lambda_=0.5,
            step=1,
            generator=torch.Generator().manual_seed(0),
        )
        terms.loss.backward(inputs=list(model.parameters()))
        return terms.loss.item()

    expected = step(plain)
    with checkpointed(other):
        assert step(other) == expected
    assert not any("forward" in vars(module) for module in other.modules())
    for (name, parameter), same in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert (parameter.grad is None) == (same.grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(same.grad, parameter.grad, rtol=1e-5, atol=1e-8, msg=name)
    for (name, buffer), same in zip(plain.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(buffer, same), name


@pytest.mark.parametrize(("key", "params"), [("resnet18", {}), ("cnn", {"width": 16}), ("vit", {"depth": 6})])
def test_recomputed_activations_are_not_kept(key, params):
    model = build_model(CATALOG, key, params, GREY).train()
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def kept():
        held = {}

        def keep(tensor):
            if tensor.data_ptr() not in weights:
                held[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.rand(8, 1, 16, 16))
        return sum(held.values())

    plain = kept()
    with checkpointed(model):
        assert kept() < 0.5 * plain


def test_a_network_without_a_chain_stays_as_it_is():
    model = nn.Linear(3, 2)
    with checkpointed(model):
        assert "forward" not in vars(model)
