"""Mixup and CutMix: images, labels, masks and groups are mixed alike, and a resumed training continues exactly."""

from contextlib import closing
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from densitylab.worker.augmentations.cutmix import cutmix
from densitylab.worker.augmentations.mixup import mixup
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training.cross_entropy import CrossEntropy
from densitylab.worker.training.mixture import Mixture
from tests.worker.small_runs import TRAIN, batches, new_state, rows, run, weights

MIXINGS = pytest.mark.parametrize("mixing", [partial(mixup, alpha=1.0), partial(cutmix, alpha=1.0)])


def levels(values):
    """Images of one grey level each, which is also their label and group; the null part is the left of odd ones."""
    values = torch.tensor(values)
    masks = torch.zeros(len(values), 1, 8, 8, dtype=torch.bool)
    masks[values % 2 == 1, :, :, :4] = True
    return Dataset(values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous(), values, masks, values)


@MIXINGS
def test_label_share_mask_and_group_are_those_of_the_mixed_images(mixing):
    with closing(batches(data=levels(list(range(1, 21))), mixing=mixing)) as drawn:
        x, y = drawn.at(1)
        mixture, masks, groups = drawn.mixture(1), drawn.masks(1), drawn.groups(1)
    assert (mixture.share >= 0.5).all() and (mixture.share < 0.999).sum() > 10
    expected = mixture.of(y.float(), mixture.other.float())
    assert torch.allclose(255 * x.mean(dim=(1, 2, 3)), expected, atol=1e-4)
    assert torch.equal(groups, y)
    both_odd = (y % 2 == 1) & (mixture.other % 2 == 1)
    assert masks[both_odd, :, :, :4].all() and not masks[:, :, :, 4:].any()
    assert not masks[(y % 2 == 0) & (mixture.other % 2 == 0)].any()


def test_the_cross_entropy_is_that_of_mixed_targets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 5, generator=generator)
    y, other = torch.randint(5, (2, 12), generator=generator)
    mixture = Mixture(other, 0.5 + torch.rand(12, generator=generator) / 2)
    targets = mixture.share[:, None] * F.one_hot(y, 5) + (1 - mixture.share[:, None]) * F.one_hot(other, 5)
    smooth = CrossEntropy(0.1).of_batch(y, mixture)
    assert torch.allclose(smooth.mean(logits, y), F.cross_entropy(logits, targets, label_smoothing=0.1))
    assert torch.allclose(
        smooth.part(slice(3, 7)).per_sample(logits[3:7], y[3:7]),
        F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.1)[3:7],
    )
    weight = torch.tensor([1.0, 2.0, 0.5, 1.5, 3.0])
    weighted = CrossEntropy(weights=weight).of_batch(y, mixture).mean(logits, y)
    scale = (targets * weight).sum()
    assert torch.allclose(weighted, F.cross_entropy(logits, targets, weight=weight, reduction="sum") / scale)


@MIXINGS
def test_a_mixed_training_resumes_exactly(mixing):
    options = {"key": "adversarial_training", "params": {"steps": 1}, "lambda_": 0.5, "epochs": 2}
    options["uses"] = ("cross_entropy",)
    whole = new_state()
    _, reports = run(whole, drawn={"mixing": mixing}, **options)
    stopped = new_state()
    _, first = run(stopped, drawn={"mixing": mixing}, stop_at=5, **options)
    _, second = run(stopped, drawn={"mixing": mixing}, **options)
    assert rows(first + second) == rows(reports)
    assert all(torch.equal(value, weights(stopped)[name]) for name, value in weights(whole).items())


@MIXINGS
def test_gradient_accumulation_takes_the_same_steps(mixing):
    plain = ("mlp", {"hidden": 16, "dropout": 0.0, "activation": "gelu"})
    ends = []
    for parts in (1, 3):
        state = new_state(model=plain)
        _, reports = run(state, drawn={"mixing": mixing}, key="none", lambda_=0.0, epochs=1, parts=parts)
        ends.append((weights(state), reports[-1].values))
    for name, value in ends[0][0].items():
        assert torch.allclose(value, ends[1][0][name], atol=1e-6)
    assert ends[0][1]["train_accuracy"] == pytest.approx(ends[1][1]["train_accuracy"])


def test_a_right_answer_on_a_mixed_image_counts_by_its_share():
    def half(images, *, generator):
        mixed = mixup(images, generator=generator)
        return mixed._replace(share=torch.full_like(mixed.share, 0.75))

    one_kind = Dataset(TRAIN.images, torch.arange(len(TRAIN)) % 2)
    state = new_state()
    _, reports = run(
        state, key="none", lambda_=0.0, epochs=1, drawn={"data": one_kind, "mixing": half}, validation=None
    )
    shares = {round(report.values["train_accuracy"] * 20 * 4, 6) for report in reports[:-1]}
    assert all(share == round(share) for share in shares) and any(share % 4 for share in shares)
