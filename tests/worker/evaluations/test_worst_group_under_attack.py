"""The accuracy of the worst group under an attack, where the margins are known."""

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.adversarial import pgd_linf_accuracy

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


@pytest.fixture
def brightness():
    """A model of images of one pixel that says 1 where the pixel is lighter than a half."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    model[1].weight.data = torch.tensor([[0.0], [8.0]])
    model[1].bias.data = torch.tensor([0.0, -4.0])
    return model.eval()


def images(pixels, groups):
    pixels = torch.tensor(pixels, dtype=torch.uint8)
    labels = (pixels > 127).long()
    return Dataset(pixels[:, None, None, None], labels, groups=None if groups is None else torch.tensor(groups))


def data_of(groups):
    return images([20 + 200 * (index % 2) for index in range(len(groups))], groups)


def attacked(model, data, **params):
    return pgd_linf_accuracy(model, data, steps=3, generator=torch.Generator(), **HOOKS, **params)


def test_it_is_the_lowest_share_of_robust_images_in_a_group(brightness):
    """An attack of 0.1 breaks the pixels within 0.1 of a half: none of group 0, 30 of 40 of group 3, 5 of 60 of 5."""
    pixels = [20] * 50 + [120] * 30 + [220] * 10 + [140] * 5 + [250] * 55
    data = images(pixels, [0] * 50 + [3] * 40 + [5] * 60)
    result = attacked(brightness, data, epsilons=[0.1, 0.3])
    worst = result.values["worst_group"]
    assert result.values["accuracy"].value == pytest.approx(115 / 150)
    assert worst.value == pytest.approx(10 / 40) and worst.n == 40 and worst.higher_is_better
    np.testing.assert_array_equal(result.arrays["group"], data.groups.numpy())
    # By the binomial of 40 draws with 1/4: its 2.5 % and 97.5 % points are 5 and 15.5 of 40
    assert worst.low == pytest.approx(5 / 40, abs=0.026) and worst.high == pytest.approx(15.5 / 40, abs=0.026)


def test_it_is_of_the_same_images_as_the_accuracy(brightness):
    data = images([20] * 90 + [120] * 10, [0] * 90 + [1] * 10)
    result = attacked(brightness, data, epsilons=[0.1], samples=20)
    assert len(result.arrays["group"]) == 20 == result.values["accuracy"].n
    assert result.values["worst_group"].value == 0 and result.values["worst_group"].n == 2


@pytest.mark.parametrize(
    ("sizes", "samples", "images", "remedy"),
    [
        (
            (600, 90),
            None,
            90,
            "the data set has no more; more seeds narrow the spread of trainings, not that of images.",
        ),
        ((600, 90), 345, 45, "evaluate on all 90 images of the smallest group."),
        ((600, 300), 450, 150, "evaluate on at least 200 images of the smallest group."),
        ((600, 300), None, None, None),
    ],
)
def test_few_images_of_the_smallest_group_are_said(brightness, sizes, samples, images, remedy):
    groups = [index for index, size in enumerate(sizes) for _ in range(size)]
    result = attacked(brightness, data_of(groups), epsilons=[0.1], samples=samples)
    found = [flag.text for flag in result.flags if flag.key == "few_of_group"]
    assert len(found) == (images is not None)
    for text in found:
        assert f"on {images} images of the smallest group only" in text and text.endswith(f"Next: {remedy}")


def test_data_without_groups_have_none(brightness):
    result = attacked(brightness, images([20, 120, 220], None), epsilons=[0.1])
    assert "worst_group" not in result.values and "group" not in result.arrays
