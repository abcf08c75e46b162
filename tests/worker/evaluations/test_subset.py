"""Subsets have the shares of classes and groups, every class, and are the same for every model."""

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.confusion import confusion
from densitylab.worker.evaluations.subset import draw_indices


def test_a_file_sorted_by_class_gives_every_class_its_share():
    labels = np.repeat(np.arange(10), 100)
    drawn = draw_indices(labels, None, 50)
    assert len(drawn) == 50 and np.array_equal(drawn, np.unique(drawn))
    assert np.bincount(labels[drawn]).tolist() == [5] * 10
    assert len(set(drawn % 100)) > 20  # not the first of each class


def test_strata_of_class_and_group_keep_their_shares_and_none_is_missing():
    labels = np.repeat([0, 0, 1, 1], [600, 60, 330, 10])
    groups = np.repeat([0, 1, 2, 3], [600, 60, 330, 10])
    drawn = draw_indices(labels, groups, 100)
    assert np.abs(np.bincount(groups[drawn]) - [60, 6, 33, 1]).max() <= 1
    assert np.bincount(groups[draw_indices(labels, groups, 4)]).tolist() == [1, 1, 1, 1]
    assert np.bincount(labels[draw_indices(labels, groups, 2)]).tolist() == [1, 1]


def test_a_smaller_subset_is_part_of_a_larger_one_and_all_images_stay_in_order():
    labels = np.random.default_rng(1).choice(5, 400, p=[0.6, 0.2, 0.1, 0.09, 0.01])
    assert set(draw_indices(labels, None, 30)) < set(draw_indices(labels, None, 90))
    assert np.array_equal(draw_indices(labels, None, None), np.arange(400))
    assert np.array_equal(draw_indices(labels, None, 400), np.arange(400))


def test_an_evaluation_runs_on_the_drawn_images_and_names_them():
    images = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1)
    data = Dataset(images, torch.arange(200) // 100)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).eval()
    with torch.no_grad():
        model[1].weight[:], model[1].bias[:] = torch.tensor([[-1.0], [1.0]]), torch.tensor([60 / 255, -60 / 255])
    result = confusion(
        model,
        data,
        samples=40,
        generator=torch.Generator(),
        progress=lambda share: None,
        should_stop=lambda: False,
    )
    indices = result.arrays["indices"]
    assert np.array_equal(indices, draw_indices(data.labels.numpy(), None, 40))
    assert np.array_equal(result.arrays["label"], indices // 100)
    assert np.array_equal(result.arrays["predicted"], indices > 60)
