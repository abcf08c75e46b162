"""log p along lines and on planes: closed forms of a linear model, and properties of the directions."""

import pytest
import torch

from densitylab.worker.evaluations import density_slices as slices


@pytest.fixture
def model():
    """One logit per class, linear in the pixels; with one class log p is linear too."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1)).double()


X = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(1, 3, 4)
T = torch.linspace(-2, 2, 9, dtype=torch.float64)


def test_log_p_of_one_class_is_a_straight_line_of_the_gradients_slope(model):
    along = slices.gradient_direction(model, X)
    slope = torch.linalg.vector_norm(model[1].weight)
    expected = model(X[None])[0, 0] + T * slope
    assert torch.allclose(slices.line(model, X, along, T), expected)


def test_the_plane_holds_the_line_in_its_middle_row_and_ends_where_the_sum_does(model):
    several = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)).double()
    along = slices.random_direction(X, 3)
    aside = slices.across(along, slices.random_direction(X, 4))
    plane = slices.plane(several, X, along, aside, T)
    assert torch.allclose(plane[4], slices.line(several, X, along, T))
    corner = (X + T[0] * aside + T[-1] * along)[None]
    assert torch.allclose(plane[0, -1], several(corner).logsumexp(dim=1)[0])


def test_directions_have_length_one_and_meet_at_right_angles():
    along = slices.random_direction(X, 0)
    aside = slices.across(along, slices.random_direction(X, 1))
    assert torch.linalg.vector_norm(along) == pytest.approx(1) == torch.linalg.vector_norm(aside)
    assert abs((along * aside).sum()) < 1e-12
    assert torch.equal(along, slices.random_direction(X, 0)) and not torch.equal(along, slices.random_direction(X, 2))


def test_a_zero_direction_stays_zero():
    assert (slices.unit(torch.zeros(1, 2, 2)) == 0).all()


def test_many_points_equal_one_at_a_time():
    torch.manual_seed(1)
    several = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, 5), torch.nn.GELU(), torch.nn.Linear(5, 3)
    ).double()
    along, many = slices.random_direction(X, 0), torch.linspace(-1, 1, slices.ROWS_AT_ONCE + 3, dtype=torch.float64)
    whole = slices.line(several, X, along, many)
    assert torch.allclose(whole[-1], several((X + along)[None]).logsumexp(dim=1)[0])
    assert len(whole) == len(many)
