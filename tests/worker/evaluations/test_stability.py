"""Similarities equal their definitions; controls; aligned shifts; pixel and gradient perturbations."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.attributions.input_x_gradient import input_x_gradient
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.fills import FILLS
from densitylab.worker.evaluations.gradient_steps import density_perturbation, input_gradient_perturbation
from densitylab.worker.evaluations.pixel_perturbation import pixel_perturbation
from densitylab.worker.evaluations.sensitivity import sensitivity
from densitylab.worker.evaluations.similarity import SIMILARITIES, cosine, l2, relative_l2, spearman, ssim, top_k
from densitylab.worker.evaluations.stability import stability
from densitylab.worker.perturbations.attack import attack
from densitylab.worker.perturbations.brightness import brightness
from densitylab.worker.perturbations.gradient_step import density_step, logit_step
from densitylab.worker.perturbations.noise import noise
from densitylab.worker.perturbations.shift import shift

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


def generator():
    return torch.Generator().manual_seed(0)


class Square(nn.Module):
    def forward(self, x):
        return x.square()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(288, 64), nn.Softplus(), nn.Linear(64, 3)).eval()


@pytest.fixture
def data(model):
    images = torch.randint(0, 256, (220, 1, 24, 12), generator=generator(), dtype=torch.uint8)
    return Dataset(images, model(images / 255).argmax(1))


@pytest.fixture
def maps():
    drawn = torch.randn(2, 6, 2, 24, 16, generator=generator())
    return drawn[0], drawn[0] + 0.7 * drawn[1]


def fresh(model):
    torch.manual_seed(1)
    other = copy.deepcopy(model)
    for module in other:
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return other


def test_similarities_equal_plain_computations(maps):
    a, b = maps
    for row, (one, other) in enumerate(zip(*(m.flatten(1).double().numpy() for m in maps), strict=True)):
        assert cosine(a, b)[row] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert spearman(a, b)[row] == pytest.approx(stats.spearmanr(one, other).statistic)
        assert l2(a, b)[row] == pytest.approx(np.linalg.norm(other - one), rel=1e-6)
        assert relative_l2(a, b)[row] == pytest.approx(np.linalg.norm(other - one) / np.linalg.norm(one), rel=1e-6)
        k = round(0.1 * len(one))
        best = [set(np.argsort(-np.abs(m))[:k]) for m in (one, other)]
        assert top_k(a, b)[row] == pytest.approx(len(best[0] & best[1]) / k)


def test_spearman_shares_ranks_between_equal_values():
    a = torch.tensor([[0.0, 0.0, 1.0, 2.0]]).view(1, 1, 2, 2)
    b = torch.tensor([[1.0, 0.0, 0.0, 3.0]]).view(1, 1, 2, 2)
    assert spearman(a, b).item() == pytest.approx(stats.spearmanr(a.flatten(), b.flatten()).statistic)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 7, 30)])
def test_ssim_averages_the_formula_over_all_windows_inside_the_maps(shape):
    torch.manual_seed(0)
    a, b = torch.randn(shape), torch.randn(shape)
    side = min(11, *(size - 1 + size % 2 for size in shape[2:]))
    corners = [(top, left) for top in range(shape[2] - side + 1) for left in range(shape[3] - side + 1)]
    scaled = [m.double() / m.double().abs().amax(dim=(1, 2, 3), keepdim=True) for m in (a, b)]
    weight = torch.exp(-((torch.arange(side).double() - side // 2) ** 2) / (2 * 1.5**2))
    weight = weight[:, None] * weight / weight.sum() ** 2
    indices = []
    for top, left in corners:
        x, y = (m[:, :, top : top + side, left : left + side] for m in scaled)
        mean_x, mean_y = ((weight * m).sum(dim=(2, 3)) for m in (x, y))
        spread = (weight * (x * x + y * y)).sum(dim=(2, 3)) - mean_x**2 - mean_y**2
        together = (weight * x * y).sum(dim=(2, 3)) - mean_x * mean_y
        first = (2 * mean_x * mean_y + 0.0004) / (mean_x**2 + mean_y**2 + 0.0004)
        indices.append(first * (2 * together + 0.0036) / (spread + 0.0036))
    assert ssim(a, b).numpy() == pytest.approx(torch.stack(indices).mean(dim=(0, 2)).numpy(), abs=1e-12)


def test_ssim_of_one_window_equals_its_formula(maps):
    a, b = (m[:1, :1, :11, :11].double() for m in maps)
    u = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    w = np.outer(u, u) / u.sum() ** 2
    p, q = ((m / m.abs().max())[0, 0].numpy() for m in (a, b))
    mp, mq = (w * p).sum(), (w * q).sum()
    vp, vq, cov = (w * p * p).sum() - mp**2, (w * q * q).sum() - mq**2, (w * p * q).sum() - mp * mq
    expected = (2 * mp * mq + 4e-4) * (2 * cov + 3.6e-3) / ((mp**2 + mq**2 + 4e-4) * (vp + vq + 3.6e-3))
    assert ssim(a, b).item() == pytest.approx(expected)


def test_a_scaled_map_is_similar_to_itself_and_a_zero_map_to_none(maps):
    a, _ = maps
    for name in ("cosine", "spearman", "ssim", "top_k"):
        assert SIMILARITIES[name][0](a, 3 * a).numpy() == pytest.approx(1.0)
    zero = torch.zeros_like(a)
    for name in ("cosine", "spearman", "ssim"):
        assert SIMILARITIES[name][0](zero, a).isnan().all()
    assert relative_l2(zero, a).isnan().all()


def test_controls_have_no_rank_correlation(model, data):
    result = stability(
        model,
        data,
        attribution=gradient,
        perturbation=partial(noise, sigma=0.02),
        fresh_model=lambda: fresh(model),
        generator=generator(),
        **HOOKS,
    )
    value = {name: figure.value for name, figure in result.values.items()}
    assert abs(value["spearman_random_map"]) < 0.01
    # this model's maps are nearly one direction among 288, so their correlation scatters by about 1/√288
    assert abs(value["spearman_random_weights"]) < 3 / math.sqrt(288)
    assert value["spearman"] > 0.9 and value["cosine"] > 0.9
    assert value["top_k_random_map"] == pytest.approx(0.1, abs=0.02)


def test_a_random_map_is_signed_like_the_map(model, data):
    """Absolute values of normal numbers have a cosine of 2/π with each other."""

    def sizes(model, x, target):
        return torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).abs()

    result = stability(
        model, data, attribution=sizes, perturbation=noise, fresh_model=lambda: model, generator=generator(), **HOOKS
    )
    assert result.values["cosine_random_map"].value == pytest.approx(2 / math.pi, abs=0.02)


def test_both_maps_are_of_the_class_predicted_for_the_clean_image(model, data):
    targets = []

    def watched(model, x, target):
        targets.append(target)
        return gradient(model, x, target)

    result = stability(
        model,
        data,
        attribution=watched,
        perturbation=partial(logit_step, epsilon=-3.0),
        samples=100,
        fresh_model=lambda: model,
        generator=generator(),
        **HOOKS,
    )
    changed = result.arrays["changed"]
    assert changed.sum() > 0 and result.values["changed"].value == changed.mean()
    assert all(torch.equal(target, data.labels[:100]) for target in targets) and len(targets) == 3
    assert result.values["cosine_unchanged"].n == (~changed).sum() and result.values["cosine"].n == 100
    assert result.values["cosine_unchanged"].higher_is_better is True


def test_a_shift_is_undone_before_maps_are_compared():
    x = torch.rand(3, 2, 7, 9, generator=generator())
    for right, down in ((2, 0), (-3, 1), (0, -2)):
        moved = shift(None, x, None, right=right, down=down)
        one, other = moved.align(x, moved.images)
        assert torch.equal(one, other) and one.shape == (3, 2, 7 - abs(down), 9 - abs(right))
        assert moved.images.sum() == pytest.approx(one.sum().item(), rel=1e-5)  # the black border
    with pytest.raises(ValueError, match="7×9"):
        shift(None, x, None, right=9)


def test_steps_are_of_the_stated_length_along_the_gradient(model):
    x = torch.full((4, 1, 24, 12), 0.5)
    target = torch.zeros(4, dtype=torch.long)
    up = density_step(model, x, None, epsilon=0.5).images
    down = density_step(model, x, None, epsilon=-0.5).images
    assert (up - x).flatten(1).norm(dim=1).numpy() == pytest.approx(0.5, rel=1e-5)
    assert torch.allclose(up - x, x - down, atol=1e-6)
    assert (model(up).logsumexp(1) > model(x).logsumexp(1)).all()
    assert (model(logit_step(model, x, target, epsilon=0.5).images)[:, 0] > model(x)[:, 0]).all()
    assert brightness(None, x, None, amount=0.6).images.max() == 1


def test_gradient_steps_report_the_changes(model, data):
    for measure, sign in ((density_perturbation, 1), (input_gradient_perturbation, 1)):
        result = measure(
            model,
            data,
            attribution=gradient,
            epsilons=[2.0, 0.5],
            fresh_model=lambda: model,
            generator=generator(),
            **HOOKS,
        )
        curve = result.curves["up_log_density"]
        assert curve.x == [0, 0.5, 2.0] and curve.y[0] == pytest.approx(0)
        assert result.values["up_log_density"].value == curve.y[2] > curve.y[1] * sign > 0
        assert result.curves["down_attribution"].y[0] == pytest.approx(1)
        assert result.curves["up_changed"].y[0] == 0
        at = result.arrays["down_changed_at"]
        assert result.values["down_changed"].value == pytest.approx(np.isfinite(at).mean(), abs=0.02)
        assert result.flags == []


def test_likeness_under_gradient_steps_stands_between_its_controls(model, data):
    untrained = copy.deepcopy(model)
    torch.manual_seed(1)
    untrained[1].reset_parameters()
    for measure in (density_perturbation, input_gradient_perturbation):
        same, other = (
            measure(
                model,
                data,
                attribution=gradient,
                epsilons=[0.5],
                fresh_model=lambda fresh=fresh: fresh,
                generator=generator(),
                **HOOKS,
            )
            for fresh in (model, untrained)
        )
        assert same.values["attribution_random_weights"].value == pytest.approx(1)
        assert abs(other.values["attribution_random_weights"].value) < 0.3
        assert abs(other.values["attribution_random_map"].value) < 0.05
        assert other.values["attribution_random_map"].higher_is_better is None
        curve = other.curves["attribution_random_map"]
        assert curve.x == [0, 0.5] and set(curve.y) == {other.values["attribution_random_map"].value}
        assert other.arrays["attribution_random_map"].shape == (len(data),)


def test_a_gradient_of_zero_leaves_the_image_and_is_flagged(model, data):
    nn.init.zeros_(model[1].weight)
    result = density_perturbation(
        model,
        data,
        attribution=gradient,
        epsilons=[1.0],
        fresh_model=lambda: model,
        generator=generator(),
        **HOOKS,
    )
    assert result.values["up_changed"].value == 0
    assert [flag.key for flag in result.flags] == ["zero_gradient"]


def test_pixels_are_removed_in_the_order_of_the_map():
    """The class is that of the only bright pixel: removing it first gives chance accuracy, last the full one."""
    count = 240
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(10 * torch.eye(16))
    labels = torch.arange(count) % 16
    images = torch.zeros(count, 16)
    images[range(count), labels] = 1
    data = Dataset(images.view(count, 1, 4, 4), labels)

    def lit(model, x, target):
        return -x  # unimportant by the signed value, important by the absolute one

    def areas(**params):
        result = pixel_perturbation(
            model, data, attribution=lit, fractions=[0.5, 1.0], generator=generator(), **params, **HOOKS
        )
        return result, {name: value.value for name, value in result.values.items()}

    result, value = areas(ranking="absolute")
    assert result.curves["most_first_accuracy"].y == [1.0, 1 / 16, 1 / 16]
    assert result.curves["least_first_accuracy"].y == [1.0, 1.0, 1 / 16]
    assert value["most_first_accuracy"] == pytest.approx((1 + 1 / 16) / 4 + 1 / 32)
    assert value["least_first_accuracy"] > value["most_first_accuracy"]
    _, signed = areas(ranking="signed")
    assert signed["most_first_accuracy"] == pytest.approx(value["least_first_accuracy"])
    for fill in ("mean", "retained_mean", "blur", "noise"):
        filled, _ = areas(fill=fill)
        assert 0 < filled.values["most_first_probability"].value < 1


def test_the_attack_moves_every_image_equally_far_whether_or_not_its_class_changes(model, data):
    x = 0.25 + data.images[:60] / 510  # room on both sides
    target = model(x).argmax(1)
    moved = attack(model, x, target, epsilon=0.07, steps=10).images
    changed = model(moved).argmax(1) != target
    assert changed.any() and not changed.all()
    assert torch.allclose((moved - x).abs().amax(dim=(1, 2, 3)), torch.tensor(0.07), atol=1e-5)
    result = stability(
        model,
        Dataset(x, target),
        attribution=gradient,
        perturbation=partial(attack, epsilon=0.07),
        fresh_model=lambda: fresh(model),
        generator=generator(),
        **HOOKS,
    )
    assert result.arrays["displacement"] == pytest.approx((moved - x).flatten(1).norm(dim=1).numpy(), rel=1e-3)


def test_least_minus_most_and_the_random_order_between_them(model, data):
    signed = {"attribution": input_x_gradient, "ranking": "signed"}
    result = pixel_perturbation(model, data, generator=generator(), **signed, **HOOKS)
    for metric in ("accuracy", "probability", "relative_probability"):
        most, random, least = (result.values[f"{order}_{metric}"] for order in ("most_first", "random", "least_first"))
        assert most.value < random.value < least.value
        difference = result.values[f"difference_{metric}"]
        assert difference.value == pytest.approx(least.value - most.value)
        assert 0 < difference.low < difference.value < difference.high and difference.higher_is_better is True
    p = result.arrays["least_first_probability_at"]
    area = np.trapezoid(p / p[:, :1], result.curves["random_accuracy"].x, axis=1)
    assert result.arrays["least_first_relative_probability"] == pytest.approx(area, rel=1e-4)
    assert result.curves["most_first_relative_probability"].y[0] == 1 and result.flags == []


def test_the_retained_mean_is_of_the_pixels_that_are_left():
    x, removed = torch.rand(2, 3, 4, 4, generator=generator()), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    removed[0, 0, :2], removed[1] = True, True
    filled = FILLS["retained_mean"](x, removed, torch.zeros(3, 4, 4))
    assert torch.allclose(filled[0, :, 0, 0], x[0, :, 2:].mean(dim=(1, 2)))
    assert torch.allclose(filled[1, :, 3, 3], x[1].mean(dim=(1, 2)))  # nothing is left


def test_a_fill_that_changes_nothing_is_flagged(model):
    images = torch.zeros(220, 1, 24, 12, dtype=torch.uint8)
    images[:, :, 6:] = 200  # a quarter is black
    dark = Dataset(images, torch.zeros(220, dtype=torch.long))
    result = pixel_perturbation(model, dark, attribution=gradient, fill="zero", generator=generator(), **HOOKS)
    assert result.values["unchanged_pixels"].value == pytest.approx(0.25)
    assert "fill_changes_nothing" in [flag.key for flag in result.flags]
    result = pixel_perturbation(model, dark, attribution=gradient, fill="noise", generator=generator(), **HOOKS)
    assert "fill_changes_nothing" not in [flag.key for flag in result.flags]


def test_a_removed_pixel_of_an_even_image_stays_when_filled_with_mean_or_blur(model):
    even = Dataset(torch.full((220, 1, 24, 12), 100, dtype=torch.uint8), torch.zeros(220, dtype=torch.long))
    for fill in ("mean", "blur"):
        curve = pixel_perturbation(model, even, attribution=gradient, fill=fill, generator=generator(), **HOOKS).curves[
            "most_first_probability"
        ]
        assert curve.y == pytest.approx([curve.y[0]] * len(curve.y), abs=1e-5)


def test_sensitivity_is_the_largest_relative_change_within_the_radius():
    """For f = x² / 2 by pixel the map is x, and ‖r‖/‖x‖ at most radius · √D / ‖x‖."""
    model = nn.Sequential(Square(), nn.Flatten(), nn.Linear(16, 2, bias=False)).eval()
    nn.init.constant_(model[2].weight, 0.5)
    data = Dataset(torch.full((210, 1, 4, 4), 0.5), torch.zeros(210, dtype=torch.long))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    result = sensitivity(model, data, attribution=gradient, radius=0.1, draws=20, generator=generator(), **HOOKS)
    assert torch.equal(torch.get_rng_state(), before)
    assert 0.1 / math.sqrt(3) / 0.5 < result.values["sensitivity_max"].value < 0.1 / 0.5
    again = sensitivity(model, data, attribution=gradient, radius=0.1, draws=20, generator=generator(), **HOOKS)
    assert (again.arrays["sensitivity_max"] == result.arrays["sensitivity_max"]).all()
