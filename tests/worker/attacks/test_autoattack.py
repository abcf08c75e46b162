"""APGD, FAB-T, Square and AutoAttack: inside the ball and [0, 1], exact in their parts, at least as strong as PGD."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import nn

from densitylab.worker.attacks.apgd import _checkpoints, apgd_l2, apgd_linf
from densitylab.worker.attacks.autoattack import autoattack_l2, autoattack_linf
from densitylab.worker.attacks.fab import _to_boundary, fab_l2, fab_linf
from densitylab.worker.attacks.losses import TARGETED, dlr, objectives, targeted_dlr
from densitylab.worker.attacks.pgd import pgd_l2, pgd_linf
from densitylab.worker.attacks.square_l2 import square_l2

NORMS = {"linf": (apgd_linf, fab_linf, pgd_linf, 0.05), "l2": (apgd_l2, fab_l2, pgd_l2, 0.4)}


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def task():
    """A small network and 40 images, of which every fifth is misclassified."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 24), nn.ReLU(), nn.Dropout(0.5), nn.Linear(24, 5)).eval()
    x = torch.rand(40, 3, 6, 6)
    x[:, :, 0], x[:, :, 1] = 0.0, 1.0  # pixels at both ends
    with torch.no_grad():
        model[-1].bias -= model(x).mean(0)  # every class is predicted somewhere
    y = model(x).argmax(1)
    y[::5] = (y[::5] + 1) % 5
    return model, x, y


def attacks(norm):
    apgd, fab, _, _ = NORMS[norm]
    found = [partial(apgd, loss=loss, steps=20) for loss in ("cross_entropy", *TARGETED)]
    return [*found, partial(fab, steps=20), *([partial(square_l2, queries=60)] if norm == "l2" else [])]


@pytest.mark.parametrize("norm", NORMS)
def test_no_attack_leaves_the_ball_or_the_pixel_range_or_touches_the_model(norm, task):
    model, x, y = task
    for epsilon in (1 / 255, NORMS[norm][3], 1.7):
        for attack in attacks(norm):
            x_adv = attack(model, x, y, epsilon=epsilon, generator=generator())
            delta = (x_adv.double() - x.double()).flatten(1)
            assert x_adv.min() >= 0 and x_adv.max() <= 1
            assert (delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)).max() <= epsilon
            assert torch.equal(x_adv[::5], x[::5])  # misclassified as they are
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("count", ["steps", "restarts", "target_classes"])
def test_counts_below_one_are_refused_and_an_epsilon_of_zero_draws_nothing(norm, count, task):
    model, x, y = task
    for attack in NORMS[norm][:2]:
        with pytest.raises(ValueError, match=f"{count} 0"):
            attack(model, x, y, epsilon=0.1, **{count: 0})
        drawn = generator()
        assert torch.equal(attack(model, x, y, epsilon=0.0, generator=drawn), x)
        assert torch.equal(drawn.get_state(), generator().get_state())


@pytest.mark.parametrize("gap", [0.01, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("norm", ["2", "inf"])
def test_the_step_to_the_boundary_of_a_whole_image_is_that_of_the_sorted_stops(norm, gap):
    torch.manual_seed(0)
    z, slope = torch.rand(4, 1, 16, 16).double(), torch.randn(4, 1, 16, 16).double()
    z[z < 0.3], slope[:, :, :2], lead = 0.0, 0.0, gap * torch.randn(4).double()
    step = _to_boundary(z, slope, lead, norm).flatten(1)
    for row in range(4):
        size, point = slope[row].flatten().abs().numpy(), z[row].flatten().numpy()
        direction = -lead[row].sign().item() * slope[row].flatten().sign().numpy()
        room, rate = np.where(direction > 0, 1 - point, point), size if norm == "2" else (size > 0) * 1.0
        stops = np.sort(room[rate > 0] / rate[rate > 0])
        reached = np.array([(size * np.minimum(stop * rate, room)).sum() for stop in stops])
        s = np.interp(abs(lead[row].item()), np.r_[0, reached], np.r_[0, stops])
        assert step[row].numpy() == pytest.approx(direction * np.minimum(s * rate, room), abs=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_apgd_and_fab_break_what_pgd_breaks(norm, task):
    model, x, y = task
    apgd, fab, pgd, epsilon = NORMS[norm]

    def robust(attack, **options):
        return model(attack(model, x, y, epsilon=epsilon, generator=generator(), **options)).argmax(1) == y

    by_pgd = robust(pgd, steps=60, restarts=2, loss="targeted")
    assert 0 < by_pgd.sum() < 32
    assert not (robust(apgd, loss="targeted_dlr") & ~by_pgd).any()
    assert (robust(fab) & ~by_pgd).sum() <= 1


def test_the_step_to_the_linearised_boundary_is_the_shortest_within_the_pixel_range():
    torch.manual_seed(0)
    z, slope, lead = torch.rand(8, 1, 2, 3).double(), torch.randn(8, 1, 2, 3).double(), torch.randn(8).double()
    for norm in ("2", "inf"):
        step = _to_boundary(z, slope, lead, norm)
        for index in range(8):
            at, w, c = z[index].flatten().numpy(), slope[index].flatten().numpy(), lead[index].item()
            bounds = [(-value, 1 - value) for value in at]
            change = np.where(-c * w > 0, 1 - at, -at) @ w  # of the lead, at most
            ours = step[index].flatten().numpy()
            if abs(change) < abs(c):
                assert ours @ w == pytest.approx(change)  # the boundary is out of reach
                continue
            assert ours @ w == pytest.approx(-c)
            if norm == "2":
                best = minimize(
                    lambda d: d @ d,
                    ours * 0,
                    bounds=bounds,
                    constraints={"type": "eq", "fun": lambda d, w=w, c=c: w @ d + c},
                )
                assert np.linalg.norm(ours) == pytest.approx(best.fun**0.5, rel=1e-4)
            else:
                cap = np.block([[np.eye(6), -np.ones((6, 1))], [-np.eye(6), -np.ones((6, 1))]])
                best = linprog(np.r_[np.zeros(6), 1], cap, np.zeros(12), [np.r_[w, 0]], [-c], [*bounds, (0, None)])
                assert np.abs(ours).max() == pytest.approx(best.fun, rel=1e-6)


def test_the_difference_of_logits_ratio_equals_its_definition_and_needs_its_classes():
    logits = torch.tensor([[4.0, 1.0, 3.0, 0.0, -1.0]])
    y, target = torch.tensor([0]), torch.tensor([1])
    assert dlr(logits, y).item() == pytest.approx((3 - 4) / (4 - 1))
    assert targeted_dlr(logits, y, target).item() == pytest.approx((1 - 4) / (4 - 0.5 * (1 + 0)))
    assert len(objectives(["targeted_dlr"], logits, y, 9)) == 4
    with pytest.raises(ValueError, match="targeted_dlr needs 4 classes, this model has 3"):
        objectives(["targeted_dlr"], logits[:, :3], y, 9)


def test_checkpoints_come_sooner_and_sooner():
    assert list(_checkpoints(100))[:5] == [22, 41, 57, 70, 80]


@pytest.mark.parametrize("attack", [autoattack_linf, autoattack_l2])
def test_autoattack_breaks_where_gradients_are_masked(attack, task):
    """A quantised input has no gradient: only Square finds the way."""
    model, x, y = task

    class Quantised(nn.Module):
        def forward(self, images):
            return model((images * 8).round() / 8)

    network = Quantised().eval()
    correct = network(x).argmax(1) == y
    x_adv = attack(network, x, y, epsilon=0.3 if attack is autoattack_linf else 2.0, generator=generator())
    assert correct.sum() > 20 and (network(x_adv).argmax(1) == y).sum() < 5
