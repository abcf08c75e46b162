"""Digits on textures: a background that is correlated with the label only in training."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from densitylab.worker.datasets import npy_store, textured_digits
from densitylab.worker.datasets.digits import digits
from densitylab.worker.datasets.textured_digits import COLUMNS, TEXTURES


def prepare(root, **params):
    return textured_digits.prepare(root, **params, progress=lambda share: None, should_stop=lambda: False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("textures") / "a"
    prepare(folder)
    return folder


def test_the_hash_is_the_published_one(root):
    info = npy_store.read_info(root)
    assert info.data_hash == "8a68528ddc4bdcd19ca5cd26b6d2b42dd23c703abb61d99b84c79fcc46b36111"


def test_the_photographs_are_those_of_scikit_image():
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, the source of the photographs")
    with np.load(Path(textured_digits.__file__).with_name("textures.npz")) as textures:
        for name in TEXTURES:
            assert np.array_equal(textures[name], getattr(data, name)()), name


def own_share(data):
    return ((data.groups % 3) == (data.labels % 3)).double().mean().item()


def test_texture_and_digit_go_together_in_training_alone(root):
    train, test = (npy_store.load(root, split) for split in ("train", "test"))
    assert own_share(train) == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 3600) ** 0.5)
    assert own_share(test) == pytest.approx(1 / 3, abs=4 * (2 / 9 / 1000) ** 0.5)
    assert torch.equal(train.groups // 3, train.labels % 3) and train.groups.unique().tolist() == list(range(9))


@pytest.mark.parametrize(("correlation", "share"), [(1.0, 1.0), (1 / 3, 1 / 3)])
def test_the_correlation_is_a_parameter(correlation, share, tmp_path):
    info = prepare(tmp_path / "a", correlation=correlation)
    train = npy_store.load(tmp_path / "a", "train")
    assert own_share(train) == pytest.approx(share, abs=0 if share == 1 else 4 * (2 / 9 / 3600) ** 0.5)
    assert sum(info.group_counts["train"]) == 3600


def test_no_piece_of_texture_is_in_two_splits():
    ends = sorted(COLUMNS.values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
    ramp = np.broadcast_to(np.arange(512.0), (3, 512, 512))
    for columns in COLUMNS.values():
        pieces = textured_digits._cut(ramp, np.zeros(500, int), columns, np.random.default_rng(0))
        assert pieces.min() >= columns[0] and pieces.max() < columns[1]


def test_the_mask_is_where_there_is_no_ink_and_the_texture_shows_there(root):
    data = npy_store.load(root, "test")
    assert data.masks.shape == data.images.shape and data.masks.float().mean() > 0.5
    pixels, _ = digits()
    assert sorted((pixels == 0).sum((1, 2)).tolist())[2500] == pytest.approx(
        int(data.masks.sum((1, 2, 3)).median()), abs=12
    )
    assert data.images[data.masks].max() <= 0.6 * 255 + 1
    means = [
        data.images[data.groups % 3 == kind].double()[data.masks[data.groups % 3 == kind]].mean().item()
        for kind in range(len(TEXTURES))
    ]
    assert len({round(mean) for mean in means}) == 3


def test_the_data_seed_draws_it(root, tmp_path):
    assert prepare(tmp_path / "a").data_hash == npy_store.read_info(root).data_hash
    assert prepare(tmp_path / "b", data_seed=1).data_hash != npy_store.read_info(root).data_hash
