"""Networks that were made for other conventions than the data set's."""

import pytest
import torch
import torch.nn.functional as F

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.contracts import ModelInterface
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()
CIFAR = CATALOG.find(DatasetEntry, "cifar10")


def built(interface: ModelInterface | None) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(CATALOG, "cnn", {"width": 4}, CIFAR, interface=interface).eval()


def test_every_convention_is_applied_in_front_of_the_network_and_behind_it():
    mean, std, order = [103.9, 116.8, 123.7], [57.0, 58.0, 59.0], [11, *range(9)]
    interface = ModelInterface(
        mean=mean,
        std=std,
        channel_order="bgr",
        value_range="byte",
        image_size=[24, 20],
        outputs=12,
        class_order=order,
    )
    model = built(interface)
    images = torch.rand(3, 3, 32, 32, dtype=torch.float32, requires_grad=True)
    resized = F.interpolate(images, size=(24, 20), mode="bilinear", antialias=True)
    given = (resized[:, [2, 1, 0]] * 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = model[1](given)
    assert expected.shape == (3, 12)
    torch.testing.assert_close(model(images), expected[:, order])
    (gradient,) = torch.autograd.grad(model(images).logsumexp(1).sum(), images)
    assert gradient.shape == images.shape and gradient.abs().sum() > 0


def test_an_interface_without_values_is_the_data_sets_own():
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(built(ModelInterface())(images), built(None)(images))


@pytest.mark.parametrize(
    ("interface", "pointer", "sentence"),
    [
        ({"mean": [0.5]}, "mean", "3 channels; got 1"),
        ({"std": [1.0, 0.0, 1.0]}, "std", "above 0"),
        ({"outputs": 100}, "class_order", "10 classes among the 100 outputs"),
        ({"outputs": 12, "class_order": [1, 2]}, "class_order", "got 2"),
        ({"outputs": 12, "class_order": [1, 1, *range(2, 10)]}, "class_order", "another output for each class"),
        ({"class_order": [10, *range(9)]}, "class_order", "below 10"),
        ({"image_size": [0, 8]}, "image_size", "1 to 4096"),
    ],
)
def test_an_interface_that_does_not_fit_the_data_set_is_refused(interface: dict, pointer: str, sentence: str):
    with pytest.raises(InvalidRequest) as refused:
        specs.plan(CATALOG, {"dataset": {"key": "cifar10"}, "model": {"key": "cnn"}, "interface": interface}, None)
    (error,) = [item for item in refused.value.errors if "interface" in item.pointer]
    assert error.pointer == f"/spec/interface/{pointer}" and sentence in error.detail


def test_the_size_of_the_network_counts_not_that_of_the_images():
    raw = {"dataset": {"key": "mnist"}, "model": {"key": "vit", "params": {"patch_size": 5}}, "evaluations": []}
    with pytest.raises(InvalidRequest):
        specs.plan(CATALOG, raw, None)
    specs.plan(CATALOG, {**raw, "interface": {"image_size": [30, 30]}}, None)


def test_specs_without_an_interface_keep_their_hash():
    (planned,) = specs.plan(CATALOG, {"dataset": {"key": "cifar10"}, "model": {"key": "cnn"}, "evaluations": []}, None)
    assert specs.spec_hash(planned.spec) == "c52ba014165a94db"  # of the versions that had no interfaces
    other = planned.spec.model_copy(update={"interface": ModelInterface(outputs=10)})
    assert specs.spec_hash(other) != specs.spec_hash(planned.spec)
