"""Out-of-distribution metrics equal scikit-learn's, and the calibration error its definition."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.accuracy import accuracy
from densitylab.worker.evaluations.density import density
from densitylab.worker.evaluations.ood import ood
from densitylab.worker.evaluations.ood_data import other_data
from densitylab.worker.evaluations.ood_metrics import ood_metrics, roc

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 20), nn.ReLU(), nn.Linear(20, 3)).eval()


def images(count=250, size=(8, 4), level=128, channels=1):
    drawn = torch.randint(0, level, (count, channels, *size), generator=generator(), dtype=torch.uint8)
    return Dataset(drawn, torch.arange(count) % 3, groups=None)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.5])
def test_the_four_metrics_equal_scikit_learn(ties, shift):
    rng = np.random.default_rng(0)
    inside = rng.random(500) < 0.6
    scores = rng.normal(size=500) + shift * inside
    if ties:
        scores = scores.round(1)
    result = ood_metrics(scores, inside, np.arange(500)[None])
    fpr, tpr, _ = roc_curve(inside, scores, drop_intermediate=False)
    assert result.auroc[0] == pytest.approx(roc_auc_score(inside, scores))
    assert result.aupr_in[0] == pytest.approx(average_precision_score(inside, scores))
    assert result.aupr_out[0] == pytest.approx(average_precision_score(~inside, -scores))
    assert result.fpr95[0] == pytest.approx(fpr[np.argmax(tpr >= 0.95)])


def test_a_roc_goes_from_corner_to_corner_and_keeps_its_area_when_thinned():
    rng = np.random.default_rng(0)
    inside = rng.random(3000) < 0.5
    scores = rng.normal(size=3000) + inside
    fpr, tpr = roc(scores, inside)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1) and len(fpr) <= 400
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc_score(inside, scores), abs=2e-3)


def test_an_auroc_below_one_half_is_not_flipped(model):
    """In-distribution images are black, where this model has the lowest confidence: the AUROC near 0 is not flipped."""
    dark = Dataset(torch.zeros(250, 1, 8, 4, dtype=torch.uint8), torch.arange(250) % 3)
    with torch.no_grad():
        model[1].bias.zero_()
        model[3].bias.zero_()
    result = ood(model, dark, samples=None, train_data=images, generator=generator(), **HOOKS)
    assert result.values["msp_auroc"].value < 0.1
    assert result.values["msp_auroc"].low <= result.values["msp_auroc"].value


def test_both_counts_and_the_scores_of_the_test_images_are_returned(model):
    result = ood(
        model,
        images(),
        against=lambda split: images(220, level=255),
        samples=None,
        train_data=lambda: images(300),
        generator=generator(),
        **HOOKS,
    )
    counts = [result.values[f"{part}_images"].value for part in ("in", "out", "train")]
    assert counts == [250, 220, 300]
    scores = ("msp", "max_logit", "energy", "density_gradient", "odin", "knn", "mahalanobis", "vim")
    lengths = {"indices": 250, **dict.fromkeys(scores, 250), **{f"out/{score}": 220 for score in scores}}
    assert {name: len(array) for name, array in result.arrays.items()} == lengths
    assert all(result.values[f"{score}_auroc"].n == 470 for score in scores)
    assert (result.arrays["density_gradient"] <= 0).all()
    assert sum(result.curves["energy_in"].y) == pytest.approx(1)
    assert result.curves["energy_roc"].y[-1] == 1


def test_another_shape_needs_a_resize(model):
    colour = images(210, size=(16, 16), channels=3)
    with pytest.raises(ValueError, match="set resize"):
        ood(model, images(), against=lambda split: colour, train_data=images, generator=generator(), **HOOKS)
    for mode in ("bilinear", "nearest"):
        brought = other_data(lambda split: colour, images(), mode, None)
        assert brought.images.shape == (210, 1, 8, 4)
        assert brought.images.min() >= 0 and brought.images.max() <= 1
    grey = other_data(lambda split: images(5), colour, "nearest", None).images
    assert grey.shape == (5, 3, 16, 16) and torch.equal(grey[:, 0], grey[:, 2])
    assert torch.equal(grey[:, :1, ::2, ::4], images(5).images / 255)


def test_scores_that_are_not_finite_have_no_metrics(model):
    model[3].bias.data[0] = torch.inf
    result = ood(model, images(), train_data=images, generator=generator(), **HOOKS)
    assert result.values["energy_auroc"].value is None and result.values["vim_auroc"].value is None
    assert "not_finite" in {flag.key for flag in result.flags}


def test_densities_of_every_set(model):
    result = density(
        model,
        images(),
        train_data=lambda: images(230),
        against=lambda split: images(240, level=255),
        samples=None,
        generator=generator(),
        **HOOKS,
    )
    x = (images().images / 255).requires_grad_()
    log_p = model(x).logsumexp(1)
    (gradient,) = torch.autograd.grad(log_p.sum(), x)
    assert result.values["log_density_test"].value == pytest.approx(log_p.mean().item(), rel=1e-5)
    assert result.values["gradient_norm_test"].value == pytest.approx(gradient.flatten(1).norm(dim=1).mean().item())
    assert [result.values[f"log_density_{name}"].n for name in ("train", "test", "noise", "other")] == [
        230,
        250,
        250,
        240,
    ]
    for curve in result.curves.values():
        assert sum(curve.y) == pytest.approx(1)
    assert result.curves["log_density_train"].x == result.curves["log_density_noise"].x


def test_calibration_error_is_the_weighted_gap_of_fifteen_bins(model):
    data = images()
    probability = model(data.images / 255).double().softmax(1)
    confidence, predicted = (part.detach().numpy() for part in probability.max(1))
    correct = predicted == data.labels.numpy()
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    result = accuracy(model, data, generator=generator(), **HOOKS)
    value = result.values["calibration_error"]
    assert value.value == pytest.approx(expected, abs=1e-9) and value.low <= value.value <= value.high
    curve = result.curves["reliability"]
    assert len(curve.x) == len({int(np.ceil(c * 15)) for c in confidence})
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in zip(curve.x, curve.y, strict=True))
