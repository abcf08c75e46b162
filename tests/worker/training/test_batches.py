"""Batches: the images of each step, with the same bits resident and streamed."""

from contextlib import closing

import numpy as np
import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.sampling import epoch_order

CATALOG = Catalog.built_in()

N, BATCH = 50, 8  # seven steps an epoch


def data(groups=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 6, 5), generator=generator, dtype=torch.uint8)
    return Dataset(images, torch.arange(N), groups=groups)  # a label names its image


def all_of(batches, epochs=3):
    with closing(batches):
        return [batches.at(step) for step in range(1, 1 + epochs * batches.steps_per_epoch)]


def mapped(images, path):
    """The images in a memory-mapped file, as large data sets are stored."""
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=tuple(images.shape))
    stored[:] = images.numpy()
    stored.flush()
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="r+"))


@pytest.mark.parametrize("augmentation", ["none", "flip_and_crop"])
@pytest.mark.parametrize("sampling", ["shuffled", "class_balanced"])
def test_streaming_from_a_mapped_file_gives_the_bits_of_the_resident_way(tmp_path, augmentation, sampling):
    given = data()
    how = {
        "batch_size": BATCH,
        "seed": 3,
        "device": "cpu",
        "sampling": sampling,
        "augmentation": component(CATALOG, "augmentation", augmentation).function,
    }
    resident = Batches(given, **how)
    assert resident.resident
    streamed = Batches(Dataset(mapped(given.images, tmp_path / "images.npy"), given.labels), **how, resident=False)
    for (x, y), (same_x, same_y) in zip(all_of(resident), all_of(streamed), strict=True):
        assert torch.equal(x, same_x) and torch.equal(y, same_y)


@pytest.mark.parametrize("resident", [True, False])
def test_a_step_is_the_same_wherever_one_begins(resident):
    how = {"batch_size": BATCH, "seed": 0, "device": "cpu", "resident": resident}
    augmentation = component(CATALOG, "augmentation", "flip_and_crop").function
    undisturbed = all_of(Batches(data(), **how, augmentation=augmentation))
    with closing(Batches(data(), **how, augmentation=augmentation)) as batches:
        for step in (10, 11, 12, 3, 20, 4):
            x, y = batches.at(step)
            assert torch.equal(x, undisturbed[step - 1][0]) and torch.equal(y, undisturbed[step - 1][1])


def test_images_come_as_floats_in_0_to_1_with_their_labels():
    given = data()
    steps = all_of(Batches(given, batch_size=BATCH, seed=0, device="cpu"), epochs=1)
    assert [len(y) for _, y in steps] == [8] * 6 + [2]
    for x, y in steps:
        assert torch.equal(x, given.images[y].float() / 255) and x.is_contiguous()


def test_each_epoch_has_new_augmentations():
    one_image = Dataset(data().images[:1], torch.zeros(1, dtype=torch.int64))
    augmentation = component(CATALOG, "augmentation", "random_crop").function
    drawn = all_of(Batches(one_image, batch_size=1, seed=0, device="cpu", augmentation=augmentation), epochs=20)
    assert len({x.numpy().tobytes() for x, _ in drawn}) > 10


def test_a_set_that_is_too_large_for_the_device_is_streamed(monkeypatch):
    monkeypatch.setattr("densitylab.worker.training.batches.RESIDENT_SHARE", 1e-12)
    with closing(Batches(data(), batch_size=BATCH, seed=0, device="cpu")) as batches:
        assert not batches.resident


def test_an_error_of_the_reading_thread_is_raised_with_its_batch():
    given = data()
    with closing(Batches(given, batch_size=BATCH, seed=0, device="cpu", resident=False)) as batches:
        batches._images = given.images[:1]  # the file was truncated
        with pytest.raises(IndexError):
            batches.at(1)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="got none"):
        Batches(Dataset(data().images[:0], data().labels[:0]), batch_size=BATCH, seed=0, device="cpu")


def test_shuffled_each_image_is_used_once_per_epoch_in_a_new_order():
    orders = [
        epoch_order(data(), "shuffled", seed=seed, epoch=epoch).tolist() for seed in (0, 1, 4096) for epoch in (0, 1)
    ]
    assert all(sorted(order) == list(range(N)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


@pytest.mark.parametrize("sampling", ["class_balanced", "group_balanced"])
def test_balanced_every_class_or_group_is_as_likely_and_every_image_within_it(sampling):
    kinds = torch.tensor([0] * 900 + [1] * 90 + [7] * 10)  # group numbers may have gaps
    images = torch.zeros(1000, 1, 1, 1, dtype=torch.uint8)
    given = {"class_balanced": Dataset(images, kinds), "group_balanced": Dataset(images, kinds % 2, groups=kinds)}
    orders = [epoch_order(given[sampling], sampling, seed=0, epoch=epoch) for epoch in range(30)]
    drawn = torch.cat(orders)
    assert all(len(order) == 1000 for order in orders)
    for kind in (0, 1, 7):
        share = (kinds[drawn] == kind).double().mean()
        assert abs(share - 1 / 3) < 5 * (2 / 9 / len(drawn)) ** 0.5
    rare = torch.bincount(drawn, minlength=1000)[990:].double()
    assert abs(rare - 1000).max() < 5 * 1000**0.5


def test_balanced_groups_need_groups():
    with pytest.raises(ValueError, match="has no groups: take class_balanced"):
        Batches(data(), batch_size=BATCH, seed=0, device="cpu", sampling="group_balanced")
    assert len(epoch_order(data(torch.arange(N) % 2), "group_balanced", seed=0, epoch=0)) == N


def test_unknown_samplings_are_refused():
    with pytest.raises(ValueError, match="shuffled, class_balanced, group_balanced, got 'sorted'"):
        epoch_order(data(), "sorted", seed=0, epoch=0)
