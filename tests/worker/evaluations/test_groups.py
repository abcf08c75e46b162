"""Group accuracy: each group, both means, the worst, the gap, and the flag of an empty group."""

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Attribute, Dataset
from densitylab.worker.evaluations.groups import groups
from densitylab.worker.evaluations.intervals import wilson

HOOKS = {
    "generator": torch.Generator(),
    "progress": lambda fraction: None,
    "should_stop": lambda: False,
}


def always_first(channels=1, size=(2, 2)):
    """A model that predicts class 0 for every image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 2))
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([1.0, 0.0])
    return model.eval()


def images(group, label):
    return Dataset(torch.zeros(len(group), 1, 2, 2, dtype=torch.uint8), torch.tensor(label), groups=torch.tensor(group))


@pytest.fixture
def test():
    """Group 0: 300 images, 240 right; group 1: 200 images, 100 right."""
    return images([0] * 300 + [1] * 200, [0] * 240 + [1] * 60 + [0] * 100 + [1] * 100)


def test_the_means_weight_groups_as_in_the_test_and_the_training_set(test):
    train = images([0] * 95 + [1] * 5, [0] * 100)
    result = groups(always_first(), test, train_data=lambda: train, **HOOKS)
    value = {name: figure.value for name, figure in result.values.items()}
    assert value == pytest.approx(
        {
            "group_0": 0.8,
            "group_1": 0.5,
            "worst": 0.5,
            "gap": 0.3,
            "mean": 0.68,
            "mean_train": 0.95 * 0.8 + 0.05 * 0.5,
        }
    )
    assert result.values["worst"].n == 200 and result.values["gap"].higher_is_better is False
    assert (result.values["group_1"].low, result.values["group_1"].high) == wilson(100, 200)
    assert result.curves["accuracy"].x == [0, 1] and result.curves["accuracy"].y == [0.8, 0.5]
    assert result.flags == []
    assert result.arrays["correct"].sum() == 340 and (result.arrays["group"] == test.groups.numpy()).all()


def test_the_interval_of_the_worst_is_that_of_resampled_groups(test):
    result = groups(always_first(), test, train_data=lambda: test, **HOOKS)
    worst = result.values["worst"]
    rng = np.random.default_rng(1)
    drawn = np.minimum(rng.binomial(300, 0.8, 20_000) / 300, rng.binomial(200, 0.5, 20_000) / 200)
    assert (worst.low, worst.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.01)


def test_a_group_without_test_images_is_flagged_and_left_out(test):
    train = images([0] * 60 + [1] * 20 + [2] * 20, [0] * 100)
    result = groups(always_first(), test, train_data=lambda: train, **HOOKS)
    assert result.values["group_2"].value is None and result.values["group_2"].n == 0
    assert result.values["mean_train"].value == pytest.approx(0.75 * 0.8 + 0.25 * 0.5)
    assert [flag.key for flag in result.flags] == ["empty_group"] and "Group 2" in result.flags[0].text


def test_a_small_group_is_flagged():
    test = images([0] * 300 + [1] * 50, [0] * 350)
    (flag,) = groups(always_first(), test, train_data=lambda: test, **HOOKS).flags
    assert flag.key == "few_of_group" and "50 images of the smallest group" in flag.text


def test_data_without_groups_is_refused(test):
    with pytest.raises(ValueError, match="groups"):
        groups(always_first(), Dataset(test.images, test.labels), train_data=lambda: test, **HOOKS)


def with_attributes(label, place, colour):
    attributes = {
        "place": Attribute(("land", "water"), torch.tensor(place)),
        "colour": Attribute(("red", "green", "blue"), torch.tensor(colour)),
    }
    return Dataset(torch.zeros(len(label), 1, 2, 2, dtype=torch.uint8), torch.tensor(label), attributes=attributes)


def test_groups_are_crossed_from_the_label_and_the_attributes_that_are_asked_for():
    label, place, colour = [0, 0, 0, 1, 1], [0, 1, 1, 0, 1], [2, 0, 2, 1, 1]
    data = with_attributes(label, place, colour)
    model = always_first()
    result = groups(model, data, attributes=["place"], train_data=lambda: data, **HOOKS)
    assert result.arrays["group"].tolist() == [0, 1, 1, 2, 3]
    assert [result.values[f"group_{index}"].value for index in range(4)] == [1, 1, 0, 0]
    both = groups(model, data, attributes=["colour", "place"], train_data=lambda: data, **HOOKS)
    expected = [6 * y + 2 * c + p for y, p, c in zip(label, place, colour, strict=True)]
    assert both.arrays["group"].tolist() == expected and len(both.curves["accuracy"].x) == 12
    assert "empty_group" in [flag.key for flag in both.flags]
    with pytest.raises(ValueError, match="no attribute shape; it has place, colour"):
        groups(model, data, attributes=["shape"], train_data=lambda: data, **HOOKS)
