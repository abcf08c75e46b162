"""Right for the right reasons equals its definition, and makes a model ignore a masked part."""

from contextlib import closing

import pytest
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.regularizers.right_reasons import right_reasons
from densitylab.worker.training.batches import Batches
from tests.worker import small_runs


@pytest.mark.parametrize("target", ["all_log_probs", "log_prob", "logit"])
def test_it_equals_a_plain_computation(target):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 9), nn.Softplus(), nn.Linear(9, 4)).double()
    x = torch.rand(5, 2, 4, 3, dtype=torch.float64).requires_grad_(True)
    y, masks = torch.tensor([0, 1, 2, 3, 0]), torch.rand(5, 1, 4, 3) < 0.5
    masks[4] = False
    penalty = right_reasons(model, x, model(x), y, masks=masks, target=target)
    for index in range(5):
        image = x[index : index + 1].detach().requires_grad_(True)
        logits = model(image)[0]
        log_probs = logits - logits.exp().sum().log()
        quantity = {"all_log_probs": log_probs.sum(), "log_prob": log_probs[y[index]], "logit": logits[y[index]]}
        (gradient,) = torch.autograd.grad(quantity[target], image)
        expected = sum(gradient[0, channel][masks[index, 0]].square().sum() for channel in range(2))
        assert penalty[index].item() == pytest.approx(float(expected), rel=1e-12)
    assert penalty[4] == 0
    weights = list(model.parameters())
    slopes = torch.autograd.grad(penalty.mean(), weights, allow_unused=True)
    with torch.no_grad():
        weights[0].add_(1e-6 * torch.ones_like(weights[0]))
    after = right_reasons(model, x, model(x), y, masks=masks, target=target)
    assert ((after - penalty).mean() / 1e-6).item() == pytest.approx(slopes[0].sum().item(), rel=1e-3)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="all_log_probs, log_prob, logit"):
        right_reasons(nn.Flatten(), *(torch.rand(2, 2),) * 2, torch.zeros(2), masks=torch.ones(2), target="loss")


def masked(n=105, *, same):
    """Images whose right half is masked; of every second one the left half, unless all are the `same`."""
    data = small_runs.data(n)
    masks = torch.zeros(n, 1, 56, 28, dtype=torch.bool)
    masks[:, :, :, 14:] = True
    if not same:
        masks[::2] = masks[::2].flip(3)
    return Dataset(data.images, data.labels, masks)


def test_masks_follow_the_images_through_order_and_augmentation():
    from densitylab.worker.augmentations.flip_and_crop import flip_and_crop

    data = masked(same=False)
    marked = Dataset(data.masks.to(torch.uint8) * 255, data.labels, data.masks)  # the image is its mask
    for resident in (True, False):
        with closing(
            Batches(marked, batch_size=20, seed=3, device="cpu", augmentation=flip_and_crop, resident=resident)
        ) as batches:
            for step in range(1, 2 * batches.steps_per_epoch + 1):
                x, _ = batches.at(step)
                assert torch.equal(batches.masks(step), x > 0.5)
    with (
        closing(Batches(small_runs.TRAIN, batch_size=20, seed=0, device="cpu")) as batches,
        pytest.raises(ValueError, match="this data set has none"),
    ):
        batches.masks(1)


def test_a_model_trained_with_it_ignores_the_masked_part():
    data = masked(same=True)

    def share(lambda_):
        state = small_runs.new_state(model=("mlp", {"hidden": 16, "activation": "gelu"}))
        small_runs.run(
            state,
            key="right_reasons",
            lambda_=lambda_,
            uses=("masks",),
            drawn={"data": data},
            epochs=8,
        )
        x = (data.images / 255).requires_grad_(True)
        logits = state.model.eval()(x)
        (gradient,) = torch.autograd.grad(logits.log_softmax(1).sum(), x)
        return ((gradient * data.masks).square().sum() / gradient.square().sum()).item()

    assert share(0.0) > 0.3 > 2 * share(1.0)
