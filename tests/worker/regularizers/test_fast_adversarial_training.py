"""Fast adversarial training equals one step by hand; its monitor sees overfitting to that step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.backend.shared.contracts import MetricPoint, MetricSeries
from densitylab.worker.jobs.outcome import outcome_flags
from densitylab.worker.regularizers.fast_adversarial_training import attacked_accuracy, fast_adversarial_training
from densitylab.worker.training.cross_entropy import CrossEntropy
from tests.worker import small_runs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_is_one_sign_step_from_a_random_start():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.GELU(), nn.Linear(9, 3)).double()
    x, y = torch.rand(6, 1, 4, 3, dtype=torch.float64), torch.arange(6) % 3
    penalty = fast_adversarial_training(model, x, model(x), y, epsilon=0.1, generator=generator())
    start = x + 0.1 * (2 * torch.rand(x.shape, dtype=x.dtype, generator=generator()) - 1)
    start = start.clamp(0, 1).requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(start), y, reduction="sum"), start)
    stepped = (start + 0.125 * gradient.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1).detach()
    expected = F.cross_entropy(model(stepped), y, reduction="none") - F.cross_entropy(model(x), y, reduction="none")
    torch.testing.assert_close(penalty, expected)
    assert fast_adversarial_training(model, x, model(x), y, epsilon=0.0, generator=generator()).abs().max() == 0


def test_with_lambda_1_only_attacked_images_count_with_label_smoothing_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.rand(6, 1, 4, 3), torch.arange(6) % 3
    smoothed = CrossEntropy(label_smoothing=0.2)
    penalty = fast_adversarial_training(
        model, x, model(x), y, cross_entropy=smoothed.per_sample, generator=generator()
    ).mean()
    plain = fast_adversarial_training(model, x, model(x), y, generator=generator()).mean()
    total = smoothed.mean(model(x), y) + penalty
    assert total.item() == pytest.approx(smoothed.mean(model(x), y).item() + penalty.item())
    assert penalty.item() != pytest.approx(plain.item(), abs=1e-4)


class Masked(nn.Module):
    """Robust against a step of full length, and not within the ball: the logits oscillate with the brightness."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        wave = torch.cos(60 * torch.pi * (x.mean(dim=(1, 2, 3)) - 0.5)) * self.weight
        return torch.stack([wave, -wave], dim=1)


def test_the_monitor_sees_a_model_that_only_one_step_cannot_break():
    x, y = torch.full((40, 1, 2, 2), 0.5), torch.zeros(40, dtype=torch.long)
    plain = attacked_accuracy(Masked(), x, y, epsilon=0.0, generator=generator())
    assert plain == {"validation_fgsm_accuracy": 1.0, "validation_pgd_accuracy": 1.0}
    attacked = attacked_accuracy(Masked(), x, y, epsilon=1 / 30, step_factor=4.0, generator=generator())
    assert attacked["validation_fgsm_accuracy"] - attacked["validation_pgd_accuracy"] > 0.3


def series(name, *values):
    points = [MetricPoint(step=i, epoch=float(i), value=value, seconds=0.0) for i, value in enumerate(values, 1)]
    return MetricSeries(run=1, name=name, points=points, total=len(points))


@pytest.mark.parametrize(("single", "several", "flagged"), [(0.9, 0.05, True), (0.5, 0.45, False), (0.9, 0.7, False)])
def test_a_run_that_ends_overfitted_to_the_step_is_flagged(single, several, flagged):
    curves = [
        series("validation_accuracy", 0.5, 0.9),
        series("validation_fgsm_accuracy", 0.4, single),
        series("validation_pgd_accuracy", 0.4, several),
    ]
    flags = outcome_flags(curves, epoch=None, images=500, classes=10)
    assert ("catastrophic_overfitting" in {flag.key for flag in flags}) == flagged


def test_the_monitor_is_logged_after_each_epoch_and_changes_nothing():
    def trained(monitor):
        state = small_runs.new_state()
        _, reports = small_runs.run(state, key="fast_adversarial_training", lambda_=1.0, epochs=2, monitor=monitor)
        return small_runs.weights(state), reports

    plain, _ = trained(None)
    watched, reports = trained(attacked_accuracy)
    assert all(torch.equal(plain[name], value) for name, value in watched.items())
    logged = [report.epoch for report in reports if "validation_pgd_accuracy" in report.values]
    assert logged == [1.0, 2.0]
