"""The check of the class order: it finds a wrong one, and is silent on right ones and at chance."""

import numpy as np
import pytest
import torch

from densitylab.worker.importing.class_order_check import better_order


def predictions(accuracy: float, n: int = 2000, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (predicted, labels), errors spread evenly over the other classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    wrong = (labels + random.integers(1, classes, n)) % classes
    return np.where(random.random(n) < accuracy, labels, wrong), labels


@pytest.mark.parametrize(("accuracy", "classes"), [(0.99, 10), (0.7, 10), (0.9, 2), (0.8, 100)])
def test_a_permutation_of_the_outputs_is_found_and_measured_on_other_images(accuracy, classes):
    predicted, labels = predictions(accuracy, classes=classes)
    permutation = np.roll(np.arange(classes), 1)
    other = better_order(permutation[predicted], labels, classes)
    assert other is not None and list(other.outputs) == list(permutation)
    assert other.correct.mean() == pytest.approx((predicted == labels).mean(), abs=0.02)


def test_two_swapped_classes_are_found_and_the_others_stay():
    predicted, labels = predictions(0.9)
    swap = np.array([0, 1, 2, 5, 4, 3, 6, 7, 8, 9])
    assert list(better_order(swap[predicted], labels, 10).outputs) == list(swap)


@pytest.mark.parametrize("accuracy", [0.15, 0.3, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("classes", [2, 10])
def test_a_right_order_is_not_doubted(accuracy, classes):
    accuracy = max(accuracy, 1 / classes)
    for seed in range(20):
        for n in (30, 200, 2000):
            assert better_order(*predictions(accuracy, n, classes, seed), classes) is None


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_permutations_of_a_network_at_chance_are_not_doubted(classes):
    random = np.random.default_rng(0)
    for seed in range(50 if classes < 1000 else 2):
        predicted, labels = predictions(1 / classes, classes=classes, seed=seed)
        assert better_order(random.permutation(classes)[predicted], labels, classes) is None


def test_permutations_of_an_untrained_network_are_not_doubted():
    """Its outputs depend on the class, so that some order is better than the used one on other images too."""
    better = 0
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        centres = torch.randn(10, 64, generator=generator)
        labels = torch.arange(2000) % 10
        images = centres[labels] + 3 * torch.randn(2000, 64, generator=generator)
        logits = torch.relu(images @ torch.randn(64, 32, generator=generator)) @ torch.randn(
            32, 10, generator=generator
        )
        predicted = torch.randperm(10, generator=generator)[logits.argmax(dim=1)].numpy()
        counts = np.bincount(labels.numpy() * 10 + predicted, minlength=100).reshape(10, 10)
        better += counts.max(axis=1).sum() > 1.5 * np.trace(counts)
        assert better_order(predicted, labels.numpy(), 10) is None
    assert better > 25
