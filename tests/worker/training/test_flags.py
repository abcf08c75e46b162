"""Flags of models with masked gradients; attacks without gradients; reuse of stored results."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.attacks.pgd import pgd_linf
from densitylab.worker.attacks.square import square
from densitylab.worker.datasets import blockmnist
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.accuracy import accuracy
from densitylab.worker.evaluations.adversarial import pgd_l2_accuracy, pgd_linf_accuracy
from densitylab.worker.evaluations.prior_result import PriorResult
from densitylab.worker.evaluations.square import square_accuracy
from densitylab.worker.evaluations.transfer import transfer_accuracy
from densitylab.worker.regularizers.marginal_density import marginal_density
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}
PGD = {"steps": 40, "step_size": None, "restarts": 1, "random_start": True, "loss": "worst", "samples": None}


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    root = tmp_path_factory.mktemp("blockmnist")
    blockmnist.prepare(root, progress=lambda share: None, should_stop=lambda: False)
    test = blockmnist.load(root, "test")
    return blockmnist.load(root, "train"), Dataset(test.images[:250], test.labels[:250])


@pytest.fixture(scope="module")
def trained(split):
    """lambda -> an MLP after some epochs."""
    train, _ = split
    kept: dict[float, nn.Module] = {}

    def model(lambda_):
        if lambda_ not in kept:
            torch.manual_seed(0)
            kept[lambda_] = build_model(CATALOG, "mlp", {"hidden": 128}, CATALOG.find("dataset", "blockmnist"))
            optimizer = torch.optim.Adam(kept[lambda_].parameters(), lr=1e-3)
            for _ in range(8):
                for part in torch.randperm(len(train)).split(100):
                    x, y = (train.images[part].float() / 255).requires_grad_(), train.labels[part]
                    logits = kept[lambda_](x)
                    loss = F.cross_entropy(logits, y)
                    if lambda_ > 0:
                        loss = loss + lambda_ * marginal_density(kept[lambda_], x, logits, y, generator=None).mean()
                    optimizer.zero_grad()
                    loss.backward(inputs=list(kept[lambda_].parameters()))
                    optimizer.step()
            kept[lambda_].eval()
        return kept[lambda_]

    return model


class Scale(nn.Module):
    def forward(self, logits):
        return 1e4 * logits


class Quantise(nn.Module):
    """Its derivative is zero everywhere."""

    def forward(self, x):
        return (x * 8).round() / 8


def keys(result):
    return {flag.key for flag in result.flags}


@pytest.mark.parametrize("lambda_", [0.0, 1.0])
@pytest.mark.parametrize("measure", [pgd_linf_accuracy, pgd_l2_accuracy, square_accuracy])
@pytest.mark.few(2)
def test_an_honest_model_is_not_flagged(trained, split, lambda_, measure):
    result = measure(trained(lambda_), split[1], generator=generator(), **HOOKS)
    assert result.flags == []


@pytest.mark.parametrize("loss", ["worst", "cross_entropy"])
def test_saturated_logits_are_flagged(trained, split, loss):
    masked = nn.Sequential(trained(0.0), Scale())
    result = pgd_linf_accuracy(masked, split[1], loss=loss, generator=generator(), **HOOKS)
    assert "zero_gradient" in keys(result)
    assert ("survives_huge_epsilon" in keys(result)) == (loss == "cross_entropy")


def test_a_step_in_the_model_is_flagged_by_gradient_by_probe_and_by_the_black_box(trained, split):
    masked = nn.Sequential(Quantise(), trained(0.0))
    result = pgd_linf_accuracy(masked, split[1], epsilons=[0.05], generator=generator(), **HOOKS)
    assert "zero_gradient" in keys(result)
    black_box = square_accuracy(masked, split[1], epsilons=[0.2], generator=generator(), **HOOKS)
    assert keys(black_box) == {"beats_white_box"}
    only = black_box.arrays["only_here"]
    assert black_box.values["only_here"].value == only.mean() > 0
    assert black_box.values["accuracy"].value < black_box.values["white_box"].value


def test_a_transfer_from_a_model_with_gradients_beats_pgd_on_a_masked_one_only(trained, split):
    source, honest = trained(0.0), trained(1.0)
    masked = nn.Sequential(Quantise(), source)
    masked_result = transfer_accuracy(masked, split[1], source=source, generator=generator(), **HOOKS)
    assert keys(masked_result) == {"beats_white_box"} and masked_result.values["accuracy"].value < 0.2
    honest_result = transfer_accuracy(honest, split[1], source=source, generator=generator(), **HOOKS)
    assert (
        honest_result.flags == [] and honest_result.values["accuracy"].value > honest_result.values["white_box"].value
    )


def test_every_flag_has_a_next_step(trained, split):
    masked = nn.Sequential(Quantise(), trained(0.0), Scale())
    few = Dataset(split[1].images[:50], (split[1].labels[:50] + 5) % 10)
    results = [
        accuracy(masked, few, generator=generator(), **HOOKS),
        pgd_linf_accuracy(masked, split[1], generator=generator(), **HOOKS),
        square_accuracy(masked, split[1], epsilons=[0.2], generator=generator(), **HOOKS),
    ]
    flags = [flag for result in results for flag in result.flags]
    assert {"few_samples", "at_chance", "zero_gradient", "beats_white_box"} <= {flag.key for flag in flags}
    assert all(" Next: " in flag.text for flag in flags)


@pytest.mark.parametrize("measure", [pgd_linf_accuracy, pgd_l2_accuracy])
def test_stored_epsilons_are_not_attacked_again(trained, split, measure):
    calls = []
    model = trained(1.0)
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    first = measure(model, split[1], epsilons=[0.1, 0.2], generator=generator(), **HOOKS)
    fresh, known = len(calls), [PriorResult({**PGD, "epsilons": [0.1, 0.2]}, first.arrays)]
    calls.clear()
    more = measure(model, split[1], epsilons=[0.05, 0.1, 0.2], prior_results=known, generator=generator(), **HOOKS)
    assert len(calls) < fresh
    calls.clear()
    alone = measure(model, split[1], epsilons=[0.05, 0.1, 0.2], generator=generator(), **HOOKS)
    assert len(calls) > fresh
    assert (alone.arrays["held"] == more.arrays["held"]).all() and alone.curves == more.curves
    calls.clear()
    other = [PriorResult({**PGD, "steps": 5, "epsilons": [0.1, 0.2]}, first.arrays)]
    measure(model, split[1], epsilons=[0.1, 0.2], prior_results=other, generator=generator(), **HOOKS)
    assert len(calls) == fresh
    handle.remove()


def test_square_stays_in_the_ball_and_in_range_and_succeeds(trained, split):
    x, y = split[1].images.float() / 255, split[1].labels
    model = trained(0.0)
    x_adv = square(model, x, y, epsilon=0.1, queries=200, generator=generator())
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    assert (x_adv.double() - x.double()).abs().max() <= 0.1
    with torch.no_grad():
        robust, clean = model(x_adv).argmax(1) == y, model(x).argmax(1) == y
    assert robust.sum() < 0.5 * clean.sum()
    assert torch.equal(x_adv[~clean], x[~clean])
    white = model(pgd_linf(model, x, y, epsilon=0.1, generator=generator())).argmax(1) == y
    assert white.sum() <= robust.sum()
    assert torch.equal(square(model, x, y, epsilon=0.0), x)
    with pytest.raises(ValueError, match="queries"):
        square(model, x, y, epsilon=0.1, queries=0)


def test_square_uses_no_gradient(trained, split):
    x, y = split[1].images[:20].float() / 255, split[1].labels[:20]
    grad_enabled = []
    trained(0.0)(x)

    def watched(images):
        grad_enabled.append(torch.is_grad_enabled())
        return trained(0.0)(images)

    square(watched, x, y, epsilon=0.1, queries=5, generator=generator())
    assert not any(grad_enabled) and len(grad_enabled) <= 6


def test_a_probe_of_the_l2_attack_reaches_grey_from_anywhere(trained, split):
    result = pgd_l2_accuracy(trained(1.0), split[1], epsilons=[1.0], generator=generator(), **HOOKS)
    robust = result.arrays["held"]
    assert robust.shape == (250, 3)  # 0, 1 and the probe
    assert robust[:, 2].mean() <= np.bincount(split[1].labels).max() / 250
