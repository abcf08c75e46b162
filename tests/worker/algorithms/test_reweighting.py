"""Reweighting: over all images the weighted loss is the mean of the groups' or classes' mean losses."""

import pytest
import torch

from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.algorithms.reweighting import reweighting
from tests.worker.algorithms.linear_problem import TRAIN, batches

SAMPLES = TrainingSamples(TRAIN.labels, TRAIN.groups, 2, torch.device("cpu"))


@pytest.mark.parametrize(("by", "kinds"), [("group", TRAIN.groups), ("class", TRAIN.labels)])
def test_every_kind_counts_the_same_in_the_loss(by, kinds):
    losses = torch.rand(len(TRAIN), generator=torch.Generator().manual_seed(0))
    weights = reweighting(SAMPLES, by=by).loss_weights(None, TRAIN.labels, TRAIN.groups)
    expected = torch.stack([losses[kinds == kind].mean() for kind in kinds.unique()]).mean()
    torch.testing.assert_close((weights * losses).mean(), expected)
    assert weights.unique().numel() > 1


def test_every_group_is_drawn_equally_often():
    training = batches()
    training.sample_by(reweighting(SAMPLES, balance="sampling").sampling_weights())
    drawn = torch.cat([TRAIN.groups[training._order_of(epoch)] for epoch in range(300)])
    shares = torch.bincount(drawn) / len(drawn)
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_groups_and_known_words_are_needed():
    with pytest.raises(ValueError, match="reweighting by group needs a data set with groups"):
        reweighting(TrainingSamples(TRAIN.labels, None, 2, torch.device("cpu")))
    with pytest.raises(ValueError, match="expected by 'group' or 'class'"):
        reweighting(SAMPLES, by="place")
