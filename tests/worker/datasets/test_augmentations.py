"""Augmentations change images as documented, and in no other way."""

import pytest
import torch

from densitylab.worker.augmentations.flip_and_crop import flip_and_crop
from densitylab.worker.augmentations.horizontal_flip import horizontal_flip
from densitylab.worker.augmentations.random_crop import random_crop

N, HEIGHT, WIDTH = 400, 6, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randint(1, 256, (N, 3, HEIGHT, WIDTH), generator=generator(), dtype=torch.uint8)


def shifted(image, down, right):
    """The shifted image with black borders."""
    framed = torch.zeros(3, HEIGHT + 4, WIDTH + 4, dtype=torch.uint8)
    framed[:, 2 + down : 2 + down + HEIGHT, 2 + right : 2 + right + WIDTH] = image
    return framed[:, 2 : 2 + HEIGHT, 2 : 2 + WIDTH]


def test_about_half_of_the_images_are_mirrored_and_the_others_stay(images):
    flipped = horizontal_flip(images, generator=generator())
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    same = (flipped == images).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250  # five standard deviations of 400 coins


def test_a_crop_moves_the_image_by_up_to_the_padding_and_every_move_is_as_likely(images):
    cropped = random_crop(images, padding=2, generator=generator())
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    counts = dict.fromkeys(moves, 0)
    for image, crop in zip(images, cropped, strict=True):
        (move,) = [move for move in moves if torch.equal(shifted(image, *move), crop)]
        counts[move] += 1
    expected = N / len(moves)
    # chi-squared with 24 degrees of freedom: above 51.2 once in a thousand
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 51.2


def test_padding_0_leaves_the_images_as_they_are(images):
    assert torch.equal(random_crop(images, padding=0, generator=generator()), images)


def test_flip_and_crop_is_the_one_after_the_other(images):
    drawing = generator()
    expected = horizontal_flip(random_crop(images, padding=2, generator=drawing), generator=drawing)
    assert torch.equal(flip_and_crop(images, padding=2, generator=generator()), expected)


def test_the_same_generator_draws_the_same_and_another_does_not(images):
    first = flip_and_crop(images, generator=generator(1))
    assert torch.equal(flip_and_crop(images, generator=generator(1)), first)
    assert not torch.equal(flip_and_crop(images, generator=generator(2)), first)
