"""Corrupted images are those of the published files; accuracy and mean corruption error equal a hand computation."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from densitylab.worker.datasets import corrupted
from densitylab.worker.datasets.corrupted import CORRUPTIONS, Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.datasets.source import Source, Unavailable
from densitylab.worker.evaluations.corruptions import corruptions

HOOKS = {"generator": torch.Generator(), "progress": lambda fraction: None, "should_stop": lambda: False}


@pytest.fixture
def source(tmp_path):
    return Source(placed=tmp_path, downloads=tmp_path / "downloads")


@pytest.fixture
def cifar(source):
    """Small files in the published format: six test images, at five severities."""
    folder = source.placed / "CIFAR-10-C"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8) for name in CORRUPTIONS}
    for name, images in arrays.items():
        np.save(folder / f"{name}.npy", images)
    np.save(folder / "labels.npy", np.tile([3, 1, 4, 1, 5, 9], 5))
    return arrays


def test_cifars_arrays_are_read_by_severity(source, cifar):
    opened = corrupted.cifar10(source)
    part = opened.load("fog", 3, np.arange(4))
    assert part.images.shape == (4, 3, 32, 32) and part.labels.tolist() == [3, 1, 4, 1]
    assert np.array_equal(part.images.numpy().transpose(0, 2, 3, 1), cifar["fog"][12:16])
    assert np.array_equal(opened.load("fog", 5, np.array([0, 5])).images[-1].permute(1, 2, 0).numpy(), cifar["fog"][-1])
    assert opened.labels.tolist() == [3, 1, 4, 1, 5, 9]


def test_missing_and_wrong_files_are_named(source, cifar):
    with pytest.raises(Unavailable, match="no folder CIFAR-100-C"):
        corrupted.cifar100(source)
    folder = source.placed / "CIFAR-10-C"
    np.save(folder / "snow.npy", np.zeros((30, 3, 32, 32), np.uint8))
    with pytest.raises(Unavailable, match=r"snow.npy has the shape \(30, 3, 32, 32\)"):
        corrupted.cifar10(source)
    np.save(folder / "snow.npy", np.array([{}]))
    with pytest.raises(Unavailable, match=r"snow\.npy can't be read"):
        corrupted.cifar10(source)
    (folder / "snow.npy").unlink()
    with pytest.raises(Unavailable, match=r"has no snow\.npy: unpack"):
        corrupted.cifar10(source)


def test_tiny_imagenets_files_are_numbered_by_wnids(source):
    with pytest.raises(Unavailable, match="no folder Tiny-ImageNet-C"):
        corrupted.tiny_imagenet(source)
    folder = source.placed / "Tiny-ImageNet-C"
    for number, name in enumerate(CORRUPTIONS):
        for severity in range(1, 6):
            for kind, shade in (("n02", 40), ("n01", 200)):
                (folder / name / str(severity) / kind).mkdir(parents=True)
                for index in range(3):
                    level = shade + 5 * severity + number
                    file = folder / name / str(severity) / kind / f"{kind}_{index}.JPEG"
                    Image.new("RGB", (64, 64), (level,) * 3).save(file, quality=95)
    with pytest.raises(Unavailable, match=r"wnids.txt numbers the classes"):
        corrupted.tiny_imagenet(source)
    (source.placed / "tiny-imagenet-200").mkdir()
    (source.placed / "tiny-imagenet-200" / "wnids.txt").write_text("n02\nn01\n")
    opened = corrupted.tiny_imagenet(source)
    part = opened.load("frost", 2, np.array([0, 1, 3, 5]))
    assert opened.labels.tolist() == [0, 0, 0, 1, 1, 1] and part.labels.tolist() == [0, 0, 1, 1]
    expected = [shade + 10 + CORRUPTIONS.index("frost") for shade in (40, 40, 200, 200)]
    assert part.images.float().mean((1, 2, 3)).tolist() == pytest.approx(expected, abs=1.5)


class Threshold(nn.Module):
    """Predicts class 1 where the mean pixel is above a bound."""

    def __init__(self, bound):
        super().__init__()
        self.bound = nn.Parameter(torch.tensor(bound))

    def forward(self, x):
        above = x.mean((1, 2, 3)) - self.bound
        return torch.stack([-above, above], dim=1)


@pytest.fixture
def darkening():
    """240 images whose class is their brightness; corruption c at severity s darkens by (c + s) levels of 255."""
    levels = torch.randint(0, 256, (240,), generator=torch.Generator().manual_seed(0))
    labels = (levels > 127).long()

    def images(lower):
        return (levels - lower).clamp(0, 255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)

    def load(corruption, severity, indices):
        return Dataset(images(4 * (CORRUPTIONS.index(corruption) + severity))[indices], labels[indices])

    return Dataset(images(0), labels), Corrupted(load, labels.numpy()), levels.numpy(), labels.numpy()


def test_the_mean_corruption_error_equals_a_hand_computation(darkening):
    data, opened, levels, labels = darkening
    model, reference = Threshold(127.5 / 255).eval(), Threshold(90.5 / 255).eval()

    def errors(bound):
        """(15, 5), E(c, s)."""
        return np.array(
            [
                [np.mean((np.clip(levels - 4 * (c + s), 0, 255) > bound) != labels) for s in range(1, 6)]
                for c in range(15)
            ]
        )

    ours, theirs = errors(127.5), errors(90.5)
    plain = corruptions(model, data, corruptions=opened, **HOOKS)
    assert plain.values["mce"].value == pytest.approx(ours.mean())
    assert plain.values["mean"].value == pytest.approx(1 - ours.mean()) and plain.values["mean"].n == 240
    assert plain.values["clean"].value == 1 and plain.flags == []
    assert plain.curves["accuracy"].x == [0, 1, 2, 3, 4, 5]
    assert plain.curves["accuracy"].y == pytest.approx([1, *(1 - ours.mean(axis=0))])
    for index, name in enumerate(CORRUPTIONS):
        assert plain.values[name].value == pytest.approx(1 - ours[index].mean())
        assert plain.curves[name].y == pytest.approx(1 - ours[index])
    assert plain.arrays["robust"].mean() == pytest.approx(1 - ours.mean(), rel=1e-5)
    divided = corruptions(model, data, corruptions=opened, reference=reference, **HOOKS)
    value = divided.values["mce"]
    assert value.value == pytest.approx((ours.sum(axis=1) / theirs.sum(axis=1)).mean())
    assert value.low < value.value < value.high


def test_arrays_are_left_out_where_the_images_are_in_another_order(darkening):
    data, opened, _, _ = darkening
    other = Dataset(data.images, 1 - data.labels)
    result = corruptions(Threshold(0.5).eval(), other, samples=50, corruptions=opened, **HOOKS)
    assert result.arrays == {} and result.values["mean"].n == 50
    assert {flag.key for flag in result.flags} == {"few_samples", "at_chance"}
