"""Flags: deliberately masked models are flagged, honest ones are not."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backend.shared.catalog import find
from worker.datasets import blockmnist
from worker.datasets.dataset import Dataset
from worker.evaluations.adversarial import pgd_l2_accuracy, pgd_linf_accuracy
from worker.evaluations.square import square_accuracy
from worker.evaluations.transfer import transfer_accuracy
from worker.regularizers.marginal_density import marginal_density
from worker.resolve import build_model

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


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
            kept[lambda_] = build_model("mlp", {"hidden": 128}, find("dataset", "blockmnist"))
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
    told = transfer_accuracy(masked, split[1], source=source, generator=generator(), **HOOKS)
    assert keys(told) == {"beats_white_box"} and told.values["accuracy"].value < 0.2
    fair = transfer_accuracy(honest, split[1], source=source, generator=generator(), **HOOKS)
    assert fair.flags == [] and fair.values["accuracy"].value > fair.values["white_box"].value
