"""The warning of few images names the remedy that the data set leaves."""

import pytest
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.adversarial import pgd_linf_accuracy
from densitylab.worker.evaluations.density import density
from densitylab.worker.evaluations.groups import groups
from densitylab.worker.evaluations.result import few_samples

MORE_SEEDS = "Next: the data set has no more; more seeds narrow the spread of trainings, not that of images."


def images(count: int, sizes: tuple[int, ...] = ()) -> Dataset:
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)) if sizes else None
    return Dataset(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count) % 2, groups=group)


def remedy(evaluation, data, key="few_samples", **params) -> str:
    hooks = {"progress": lambda share: None, "should_stop": lambda: False, "generator": torch.Generator()}
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    flags = evaluation(model, data, **params, **hooks).flags
    return next(flag.text for flag in flags if flag.key == key).partition(": the interval")[2]


@pytest.mark.parametrize(
    "total,samples,expected",
    [
        (300, 50, "Next: evaluate on at least 200 images."),
        (120, 50, "Next: evaluate on all 120 images."),
        (120, 500, MORE_SEEDS),
        (120, None, MORE_SEEDS),
    ],
)
def test_more_images_where_there_are_some_and_more_seeds_otherwise(total, samples, expected):
    assert remedy(pgd_linf_accuracy, images(total), samples=samples, steps=1).endswith(expected)
    of_a_set = expected if expected == MORE_SEEDS else expected.replace("images.", "images of the smallest set.")
    assert remedy(density, images(total), samples=samples, train_data=lambda: images(400)).endswith(of_a_set)


def test_a_group_has_no_more_images_than_were_evaluated():
    data = images(340, (300, 40))
    text = remedy(groups, data, key="few_of_group", train_data=lambda: data)
    assert text.endswith(MORE_SEEDS)


def test_the_last_count_that_is_few():
    assert few_samples(200, 1000) == [] and len(few_samples(199, 1000)) == 1
