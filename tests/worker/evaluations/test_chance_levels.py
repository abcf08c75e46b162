"""The chance level of leakage is the masks' area share of the data set, in the catalog or registered."""

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.datasets import npy_store, textured_digits
from densitylab.worker.evaluations.leakage import leakage
from tests.worker.datasets.own_image_files import birds, register


def shares(data):
    """Return the values of leakage of a network with random weights."""

    def fresh_model():
        torch.manual_seed(0)
        features = data.images[0].numel()
        classes = int(data.labels.max()) + 1
        return nn.Sequential(nn.Flatten(), nn.Linear(features, 32), nn.GELU(), nn.Linear(32, classes)).eval()

    return leakage(
        fresh_model(),
        data,
        attribution=gradient,
        fresh_model=fresh_model,
        generator=torch.Generator().manual_seed(0),
        progress=lambda share: None,
        should_stop=lambda: False,
    ).values


def test_the_chance_level_of_textured_digits_is_81_percent(tmp_path):
    textured_digits.prepare(tmp_path / "a", progress=lambda share: None, should_stop=lambda: False)
    values = shares(npy_store.load(tmp_path / "a", "test"))
    assert values["chance"].value == pytest.approx(0.81, abs=0.005)
    assert values["share_random_map"].value == pytest.approx(0.81, abs=0.01)


def test_the_chance_level_of_a_registered_set_is_its_null_area(tmp_path):
    """Masks mark 11 of 100 pixels, at another place in each image, as the object; 89 are null."""
    rows, drawn = birds(), np.random.default_rng(0)
    masks = np.zeros((len(rows), 100), bool)
    for mask in masks:
        mask[drawn.permutation(100)[:11]] = True
    np.savez(
        tmp_path / "a.npz",
        images=drawn.integers(0, 256, (len(rows), 10, 10, 3), dtype=np.uint8),
        labels=np.array([row["y"] for row in rows]),
        split=np.array([row["split"] for row in rows]),
        masks=masks.reshape(-1, 10, 10),
    )
    assert register(tmp_path, tmp_path / "a.npz").has_mask
    values = shares(npy_store.load(tmp_path / "out", "test"))
    assert values["chance"].value == pytest.approx(0.89)
    assert values["share_random_map"].value == pytest.approx(0.89, abs=0.05)
