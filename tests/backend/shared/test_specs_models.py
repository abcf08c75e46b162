"""Errors about models that a launch reports before a worker runs."""

from dataclasses import replace

import pytest

from densitylab.backend.shared.catalog import Catalog, ModelEntry, network_cost
from densitylab.backend.shared.specs import InvalidRequest, complete
from densitylab.backend.shared.specs.hashes import spec_hash

CATALOG = Catalog.built_in()


def replaced(key, **facts):
    """Return the catalog with changed fields of one data set."""
    return Catalog.of(replace(e, **facts) if e.key == key else e for kind in CATALOG.by_kind for e in CATALOG.all(kind))


def wrong(key, catalog=CATALOG, **params):
    with pytest.raises(InvalidRequest) as caught:
        complete(catalog, {"model": {"key": key, "params": params}})
    return {error.pointer: error.detail for error in caught.value.errors}


def test_a_patch_must_divide_both_sides_of_the_image():
    assert complete(CATALOG, {"model": {"key": "vit", "params": {"patch_size": 7}}}).model.params["width"] == 128
    found = wrong("vit", patch_size=8)
    assert list(found) == ["/spec/model/params/patch_size"]
    assert "56×28 pixels; got 8" in found["/spec/model/params/patch_size"]


@pytest.mark.parametrize("key", ["cnn", "vgg11", "resnet34"])
def test_images_too_small_for_the_network_are_refused(key):
    smallest = CATALOG.find("model", key).min_image_size
    for side, refused in ((smallest - 1, True), (smallest, False)):
        catalog = replaced("blockmnist", image_size=(64, side))
        if refused:
            assert f"at least {smallest} pixels a side" in wrong(key, catalog)["/spec/model/key"]
        else:
            assert complete(catalog, {"model": {"key": key}}).model.key == key


@pytest.mark.parametrize(
    ("key", "params", "names"),
    [
        ("resnet18", {}, {"pooling"}),
        ("resnet34", {"pooling": "max", "norm": "group", "activation": "gelu"}, {"norm", "activation"}),
        ("vgg11", {"norm": "group"}, {"norm"}),
        ("vgg11", {"width": 16}, {"width"}),
    ],
)
def test_pretrained_weights_go_with_the_published_network_alone(key, params, names):
    assert set(wrong(key, pretrained=True, **params)) == {f"/spec/model/params/{name}" for name in names}
    published = {"pooling": "max", "norm": "batch", "activation": "relu", "pretrained": True}
    assert complete(CATALOG, {"model": {"key": key, "params": published}}).model.params["pretrained"] is True


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 201, 3, "\ud800"])
def test_a_free_text_is_short_and_printable(name):
    assert "1 to 200 printable" in wrong("timm", name=name)["/spec/model/params/name"]


def test_a_timm_name_is_left_to_the_worker():
    assert complete(CATALOG, {"model": {"key": "timm", "params": {"name": "efficientnet_b0"}}}).model.params["name"]


def test_a_vgg_from_before_the_width_is_one_of_64_channels():
    vgg, cifar10 = CATALOG.find(ModelEntry, "vgg11"), CATALOG.dataset("cifar10", {})
    now = complete(CATALOG, {"evaluations": [], "model": {"key": "vgg11"}})
    old, narrow = now.model_copy(deep=True), now.model_copy(deep=True)
    del old.model.params["width"]
    narrow.model.params["width"] = 16
    assert now.model.params["width"] == 64
    assert spec_hash(old) == spec_hash(now) != spec_hash(narrow)
    assert network_cost(vgg, old.model.params, cifar10) == network_cost(vgg, now.model.params, cifar10)
    assert spec_hash(complete(CATALOG, {"model": {"key": "cnn", "params": {"width": 64}}})) != spec_hash(
        complete(CATALOG, {"model": {"key": "cnn"}})
    )
