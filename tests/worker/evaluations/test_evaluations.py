"""Evaluations equal plain independent computations; intervals equal closed forms and have their nominal coverage."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.attributions.log_density import log_density
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted
from densitylab.worker.evaluations.accuracy import accuracy
from densitylab.worker.evaluations.adversarial import pgd_l2_accuracy, pgd_linf_accuracy
from densitylab.worker.evaluations.intervals import bootstrap, wilson
from densitylab.worker.evaluations.leakage import leakage

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


class Divide(nn.Module):
    """Scales the logits, so that the confidence is moderate."""

    def forward(self, x):
        return 8 * (x - 0.5)


@pytest.fixture
def small():
    """A small network with a good accuracy, and 300 images of 8x4 whose null half is above or below."""
    torch.manual_seed(0)
    model = nn.Sequential(Divide(), nn.Flatten(), nn.Linear(32, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    images = torch.randint(0, 256, (300, 1, 8, 4), dtype=torch.uint8)
    with torch.no_grad():
        model[-1].bias -= model(images / 255).mean(0)
    labels = model(images / 255).argmax(1)
    labels[::10] = (labels[::10] + 1) % 3
    masks = torch.zeros(300, 1, 8, 4, dtype=torch.bool)
    masks[::2, :, :4], masks[1::2, :, 4:] = True, True
    return model, Dataset(images, labels, masks)


def untrained():
    """A linear network for images of 8x4."""
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 3)).eval()


def generator():
    return torch.Generator().manual_seed(0)


def test_accuracy_and_cross_entropy(small):
    model, data = small
    result = accuracy(model, data, generator=generator(), **HOOKS)
    value = result.values["accuracy"]
    assert value.value == pytest.approx(0.9) and value.n == 300 and value.higher_is_better is True
    assert (value.low, value.high) == wilson(270, 300)
    expected = -model(data.images / 255).log_softmax(1)[range(300), data.labels].double()
    entropy = result.values["cross_entropy"]
    assert entropy.value == pytest.approx(expected.mean().item(), rel=1e-6)
    assert entropy.low < entropy.value < entropy.high and entropy.higher_is_better is False
    assert result.arrays["correct"].sum() == 270 and len(result.arrays["predicted"]) == 300
    assert result.flags == []


def test_images_may_be_floats_and_the_model_of_another_precision(small):
    model, data = small
    expected = accuracy(model, data, generator=generator(), **HOOKS).values["cross_entropy"].value
    floats = Dataset(data.images / 255, data.labels)
    result = accuracy(model.double(), floats, generator=generator(), **HOOKS)
    assert result.values["cross_entropy"].value == pytest.approx(expected, rel=1e-6)


def test_nan_logits_are_wrong_and_flagged(small):
    model, data = small
    model[-1].bias.data[:] = math.nan
    result = accuracy(model, data, generator=generator(), **HOOKS)
    assert result.values["accuracy"].value == 0.0
    assert result.values["cross_entropy"].value is None
    assert [flag.key for flag in result.flags] == ["not_finite", "at_chance"]


@pytest.mark.parametrize("target", ["logit", "log_prob", "margin"])
def test_leakage_equals_a_plain_computation(small, target):
    model, data = small
    result = leakage(
        model, data, fresh_model=untrained, attribution=gradient, target=target, generator=generator(), **HOOKS
    )
    l2, share, ratio = [], [], []
    for image, label, mask in zip(data.images, data.labels.tolist(), data.masks, strict=True):
        x = (image[None] / 255).requires_grad_()
        logits = model(x)[0]
        quantity = {
            "logit": logits[label],
            "log_prob": logits[label] - logits.exp().sum().log(),
            "margin": logits[label] - max(logits[j] for j in range(3) if j != label),
        }[target]
        (a,) = torch.autograd.grad(quantity, x)
        a = a.double()
        l2.append(a[0][mask].square().sum().sqrt().item())
        share.append((a[0][mask].square().sum() / a.square().sum()).item())
        ratio.append(math.sqrt(share[-1]))
    for name, expected in (("l2", l2), ("share", share), ("ratio", ratio)):
        value = result.values[name]
        assert value.value == pytest.approx(np.mean(expected), rel=1e-5)
        assert value.low < value.value < value.high and value.n == 300 and value.higher_is_better is False
        assert result.arrays[name] == pytest.approx(expected, rel=1e-4)


def test_the_chance_level_of_leakage_is_the_masks_share_of_each_image(small):
    model, data = small
    masks = torch.zeros(300, 1, 8, 4, dtype=torch.bool)
    masks[:150, :, :7], masks[150:, :, :6] = True, True  # 7/8 and 6/8 of the pixels
    wide = Dataset(data.images, data.labels, masks)
    result = leakage(model, wide, fresh_model=lambda: model, attribution=gradient, generator=generator(), **HOOKS)
    assert result.values["chance"].value == pytest.approx(13 / 16)
    assert result.arrays["chance"][[0, 299]].tolist() == [0.875, 0.75]
    for control in ("share_random_map", "mass_random_map"):
        value = result.values[control]
        assert abs(value.value - 13 / 16) < 0.01 and value.higher_is_better is None
    assert result.values["share_random_weights"].value == result.values["share"].value


def test_leakage_of_a_constant_model_is_undefined_and_flagged(small):
    model, data = small
    nn.init.zeros_(model[2].weight)
    result = leakage(
        model, data, fresh_model=untrained, attribution=gradient, samples=50, generator=generator(), **HOOKS
    )
    assert result.values["l2"].value == 0.0 and result.values["l2"].n == 50
    assert result.values["share"].value is None and result.values["share"].n == 0
    assert np.isnan(result.arrays["share"]).all()
    assert [flag.key for flag in result.flags] == ["few_samples", "zero_attribution"]
    assert "50 of 50" in result.flags[1].text


def test_leakage_leaves_out_maps_that_are_not_finite(small):
    model, data = small

    def broken(model, x, target):
        attributions = torch.ones_like(x)
        attributions[0] = math.nan
        attributions[1] = 0.0
        return attributions

    result = leakage(model, data, fresh_model=untrained, attribution=broken, generator=generator(), **HOOKS)
    batches = 2
    assert result.values["l2"].n == 300 - batches and result.values["share"].n == 300 - 2 * batches
    assert result.values["share"].value == pytest.approx(0.5)
    assert {flag.key for flag in result.flags} == {"not_finite", "zero_attribution"}


def test_leakage_takes_any_attribution_and_refuses_wrong_arguments(small):
    model, data = small
    result = leakage(
        model, data, fresh_model=untrained, attribution=log_density, samples=200, generator=generator(), **HOOKS
    )
    assert 0 < result.values["share"].value < 1 and result.values["share"].n == 200
    with pytest.raises(ValueError, match="mask"):
        leakage(
            model,
            Dataset(data.images, data.labels),
            fresh_model=untrained,
            attribution=gradient,
            generator=generator(),
            **HOOKS,
        )
    with pytest.raises(ValueError, match="logit, log_prob, margin"):
        leakage(model, data, fresh_model=untrained, attribution=gradient, target="loss", generator=generator(), **HOOKS)


def plain_accuracy(model, x, y, norm, epsilon, steps, step_size):
    """The worst of two attacks from x, checking every iterate, all images at once."""
    correct = model(x).argmax(1) == y
    for kind in ("cross_entropy", "margin"):
        z = x.clone()
        for _ in range(steps):
            z.requires_grad_()
            logits = model(z)
            if kind == "cross_entropy":
                value = nn.functional.cross_entropy(logits, y, reduction="sum")
            else:
                others = logits.clone()
                others[range(len(y)), y] = -1e30
                value = (others.max(1).values - logits[range(len(y)), y]).sum()
            (g,) = torch.autograd.grad(value, z)
            with torch.no_grad():
                if norm == "linf":
                    delta = (z + step_size * g.sign() - x).clamp(-epsilon, epsilon)
                else:
                    delta = z + step_size * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1) - x
                    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                    delta = delta * torch.where(length > epsilon, epsilon / length, torch.ones_like(length))
                z = (x + delta).clamp(0, 1)
                correct &= model(z).argmax(1) == y
    return correct.double().mean().item()


@pytest.mark.parametrize("norm,evaluation", [("linf", pgd_linf_accuracy), ("l2", pgd_l2_accuracy)])
def test_adversarial_accuracy_equals_a_plain_computation(small, norm, evaluation):
    model, data = small
    model = model.double()
    epsilons = {"linf": [0.03, 0.01, 0.1], "l2": [0.1, 0.03, 0.4]}[norm]
    result = evaluation(
        model, data, epsilons=epsilons, steps=8, step_size=0.01, random_start=False, generator=generator(), **HOOKS
    )
    x, y = data.images.double() / 255, data.labels
    curve = result.curves["accuracy"]
    assert curve.x == sorted([0.0, *epsilons])
    expected = [0.9] + [plain_accuracy(model, x, y, norm, epsilon, 8, 0.01) for epsilon in sorted(epsilons)]
    assert curve.y == pytest.approx(expected, abs=1e-12)
    assert expected[1] < 0.9 and expected[-1] < expected[1]
    headline = result.values["accuracy"]
    assert headline.value == pytest.approx(expected[2]) and headline.n == 300
    assert (headline.low, headline.high) == wilson(round(expected[2] * 300), 300)
    broken_at = result.arrays["broken_at"]
    assert (broken_at == 0).sum() == 30
    assert np.isinf(broken_at).sum() == round(expected[-1] * 300)


def test_an_accuracy_does_not_depend_on_the_other_epsilons(small):
    model, data = small
    alone = pgd_linf_accuracy(model, data, epsilons=[0.02], steps=3, generator=generator(), **HOOKS)
    among = pgd_linf_accuracy(model, data, epsilons=[0.05, 0.02, 0.0], steps=3, generator=generator(), **HOOKS)
    assert among.curves["accuracy"].y[1] == alone.values["accuracy"].value
    assert among.curves["accuracy"].x == [0.0, 0.02, 0.05]


def test_flags_of_an_attack_that_cannot_start(small):
    model, data = small
    masked = nn.Sequential(Round(), model)
    result = pgd_linf_accuracy(masked, data, epsilons=[0.1], steps=2, samples=100, generator=generator(), **HOOKS)
    assert [flag.key for flag in result.flags][:2] == ["few_samples", "zero_gradient"]
    indices = result.arrays["indices"]
    correct = (masked(data.images[indices] / 255).argmax(1) == data.labels[indices]).sum().item()
    assert f"Of {correct} " in result.flags[1].text
    assert f"cross-entropy on {correct} and of the margin on {correct}" in result.flags[1].text


class Round(nn.Module):
    """Its derivative is zero everywhere."""

    def forward(self, x):
        return (4 * x).round() / 4


def test_a_curve_that_rises_is_flagged(small):
    """One step of 2.5 epsilon on a periodic logit: the larger epsilon misclassifies fewer images."""

    class Wave(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            height = 0.6 + torch.cos(20 * math.pi * (x.mean(dim=(1, 2, 3)) - 0.499)) + self.shift
            return torch.stack([height, torch.zeros_like(height)], dim=1)

    data = Dataset(torch.full((200, 1, 2, 2), 127, dtype=torch.uint8), torch.zeros(200, dtype=torch.long))
    result = pgd_linf_accuracy(
        Wave(), data, epsilons=[0.05, 0.1], steps=1, random_start=False, generator=generator(), **HOOKS
    )
    assert result.curves["accuracy"].y == [1.0, 0.0, 1.0]
    assert [flag.key for flag in result.flags] == ["rises_with_epsilon"]


@pytest.mark.parametrize(
    "evaluation",
    [accuracy, partial(leakage, attribution=gradient, fresh_model=untrained), pgd_linf_accuracy, pgd_l2_accuracy],
)
def test_progress_stopping_and_side_effects(small, evaluation):
    model, data = small
    model[2].weight.grad = torch.ones_like(model[2].weight)
    fractions = []
    evaluation(model, data, generator=generator(), progress=fractions.append, should_stop=lambda: False)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) >= 2
    assert (model[2].weight.grad == 1).all() and model[4].weight.grad is None and not model.training
    answers = iter([False] + [True] * 100)
    with pytest.raises(Interrupted):
        evaluation(model, data, generator=generator(), progress=fractions.append, should_stop=lambda: next(answers))


@pytest.mark.parametrize("successes,n", [(0, 1), (0, 50), (3, 10), (500, 1000), (999, 1000), (20, 20)])
def test_wilson_equals_the_closed_form_and_scipy(successes, n):
    z, p = stats.norm.ppf(0.975), successes / n
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ends = ((p + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert wilson(successes, n) == pytest.approx(tuple(ends), abs=1e-12)
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 40).low == 0.0 and wilson(40, 40).high == 1.0
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(5, 4)


def test_both_intervals_of_a_proportion_have_93_to_97_percent_coverage():
    rng = np.random.default_rng(0)
    p, n = 0.8, 500
    wilson_held = bootstrap_held = 0
    for _ in range(400):
        drawn = rng.random(n) < p
        low, high = wilson(int(drawn.sum()), n)
        wilson_held += low <= p <= high
        low, high = bootstrap(drawn.astype(float), resamples=1000)
        bootstrap_held += low <= p <= high
    assert 0.93 <= wilson_held / 400 <= 0.97
    assert 0.93 <= bootstrap_held / 400 <= 0.97


@pytest.mark.parametrize("p,n", [(0.5, 100), (0.05, 200), (0.92, 1000)])
def test_wilson_covers(p, n):
    """Over 4,000 draws the coverage is about 95 %."""
    draws = np.random.default_rng(0).binomial(n, p, 4000)
    intervals = {k: wilson(k, n) for k in set(draws.tolist())}
    covered = np.mean([intervals[k].low <= p <= intervals[k].high for k in draws.tolist()])
    assert 0.93 < covered < 0.975


def test_bootstrap_is_near_the_normal_interval_and_repeats():
    values = np.random.default_rng(0).normal(5, 2, 2000)
    low, high = bootstrap(values)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert bootstrap(values) == (low, high) != bootstrap(values, seed=1)
    assert bootstrap(np.zeros(0)) is None


def test_bootstrap_keeps_strata():
    """If all the variance is between the strata, stratified resampling has none."""
    strata = np.array([3, 1] * 50)
    values = np.where(strata == 3, 10.0, 0.0)
    assert bootstrap(values, strata=strata) == (5.0, 5.0)
    low, high = bootstrap(values)
    assert low < 4.5 and high > 5.5
    positions = bootstrap(values, strata=strata, statistic=lambda drawn: drawn[:, strata == 3].min(axis=1))
    assert positions == (10.0, 10.0)


def test_bootstrap_is_paired_between_models():
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, 300)
    strata = rng.integers(0, 3, 300)
    assert bootstrap(one + 2.0, strata=strata) == pytest.approx(np.add(bootstrap(one, strata=strata), 2.0))


def test_bootstrap_covers():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = bootstrap(rng.exponential(1.0, 150), resamples=300)
        covered += low <= 1.0 <= high
    assert 0.88 < covered / 200 < 0.985
