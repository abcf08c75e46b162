"""Crops, colours and RandAugment equal torchvision's functionals; masks are moved with their images."""

import pytest
import torch
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import Mask

from densitylab.worker.augmentations import rand_augment as rand_augment_module
from densitylab.worker.augmentations.color_jitter import color_jitter
from densitylab.worker.augmentations.rand_augment import rand_augment
from densitylab.worker.augmentations.random_resized_crop import _boxes, random_resized_crop

N, HEIGHT, WIDTH = 40, 20, 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randint(0, 256, (N, 3, HEIGHT, WIDTH), generator=generator(), dtype=torch.uint8)


def squares():
    """Masks with a large square, and images that are white where they are."""
    mask = torch.zeros(N, 1, 32, 32, dtype=torch.uint8)
    mask[:, :, 6:26, 4:20] = 255
    return mask.expand(-1, 3, -1, -1).contiguous(), Mask(mask)


def test_a_part_of_each_image_has_the_drawn_area_and_ratio(images):
    boxes = _boxes(4000, 200, 200, 0.25, generator()).double()
    top, left, rows, columns = boxes.unbind(1)
    assert (top >= 0).all() and (top + rows <= 200).all() and (left >= 0).all() and (left + columns <= 200).all()
    area, ratio = rows * columns / 40_000, columns / rows
    assert area.min() > 0.24 and area.max() <= 1 and ratio.min() > 0.74 and ratio.max() < 1.35
    assert abs(ratio.log().mean()) < 0.02
    cropped = random_resized_crop(images, smallest_area=0.25, flip=False, generator=generator())
    for image, box, crop in zip(images, _boxes(N, HEIGHT, WIDTH, 0.25, generator()).tolist(), cropped, strict=True):
        top, left, rows, columns = box
        part = image[:, top : top + rows, left : left + columns]
        assert torch.equal(functional.resize(part, [HEIGHT, WIDTH], antialias=True), crop)


@pytest.mark.parametrize("only", ["brightness", "contrast", "saturation", "hue"])
def test_colours_change_as_torchvisions(images, only):
    strengths = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0) | {only: 0.3}
    changed = color_jitter(images, **strengths, generator=generator())
    draws = 2 * torch.rand(4, N, 1, 1, 1, generator=generator()) - 1
    place = list(strengths).index(only)
    for image, change, draw in zip(images, changed, draws[place].flatten().tolist(), strict=True):
        factor = 0.3 * draw if only == "hue" else 1 + 0.3 * draw
        expected = getattr(functional, f"adjust_{only}")(image / 255, factor)
        assert (change / 255 - expected).abs().max() < 0.6 / 255


def test_colours_leave_masks_alone_and_grey_images_grey():
    white, masks = squares()
    assert torch.equal(color_jitter(masks, generator=generator()), masks)
    assert color_jitter(white[:, :1], generator=generator()).shape == (N, 1, 32, 32)


@pytest.mark.parametrize("augment", [random_resized_crop, rand_augment])
def test_masks_follow_the_moves_of_their_images(augment):
    white, masks = squares()
    strong = {"operations": 1, "magnitude": 20} if augment is rand_augment else {}
    images, moved = (augment(given, **strong, generator=generator()) for given in (white, masks))
    # half of the full brightness is above what any colour operation makes of black, and below what it leaves of white
    differs = ((images[:, 0] > 80) != (moved.as_subclass(torch.Tensor)[:, 0] > 127)).float().mean(dim=(1, 2))
    assert differs.median() < 0.02 and not torch.equal(moved, masks)
    unmoved = (moved.as_subclass(torch.Tensor) == masks).flatten(1).all(dim=1).float().mean()
    assert unmoved < 0.9 and (augment is rand_augment) == (unmoved > 0.2)


def test_each_operation_is_applied_to_the_images_that_drew_it(images, monkeypatch):
    operations = [(True, lambda x, s, shift=shift: x + shift * (1 if s > 0 else 2)) for shift in (1, 3)]
    monkeypatch.setattr(rand_augment_module, "_operations", lambda width, height: operations)
    dark = images // 2
    changed = rand_augment(dark, operations=1, generator=generator()) - dark
    drawing = generator()
    numbers = torch.randint(2, (N,), generator=drawing)
    signs = torch.randint(2, (N,), generator=drawing)
    expected = torch.tensor([1, 3])[numbers] * torch.where(signs == 1, 1, 2)
    assert torch.equal(changed.long(), expected.view(-1, 1, 1, 1).expand_as(changed))
