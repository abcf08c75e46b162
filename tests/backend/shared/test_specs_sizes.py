"""Data sets that are prepared in several sizes: all checks see the size that a spec chooses."""

import pytest

from densitylab.backend.shared.catalog import Catalog, ModelEntry, network_cost
from densitylab.backend.shared.specs import (
    InvalidRequest,
    complete,
    content_hash,
    dataset_hash,
    plan_run,
    same_data,
    spec_hash,
)

CATALOG = Catalog.built_in()
WATERBIRDS = {"key": "waterbirds", "params": {"image_size": 96}}


def errors(**spec):
    with pytest.raises(InvalidRequest) as refused:
        complete(CATALOG, {"evaluations": [], **spec})
    return {error.pointer: error.detail for error in refused.value.errors}


def test_a_launch_checks_the_size_that_is_chosen():
    vit = {"key": "vit_b16", "params": {"patch_size": 16}}
    assert complete(CATALOG, {"evaluations": [], "dataset": WATERBIRDS, "model": vit})
    chosen = {"key": "waterbirds", "params": {"image_size": 100}}
    assert "100×100 pixels; got 16" in errors(dataset=chosen, model=vit)["/spec/model/params/patch_size"]
    assert (
        "at most 512"
        in errors(dataset={"key": "waterbirds", "params": {"image_size": 513}})["/spec/dataset/params/image_size"]
    )
    window = {"key": "occlusion", "params": {"patch": 40, "stride": 8}}
    occlusion = {"key": "cascading_randomisation", "params": {"attribution": window}}
    cnn = {"key": "cnn"}
    assert complete(CATALOG, {"evaluations": [occlusion], "dataset": WATERBIRDS, "model": cnn})
    small = {"key": "waterbirds", "params": {"image_size": 32}}
    assert "≤ 32, the shorter side" in next(iter(errors(evaluations=[occlusion], dataset=small, model=cnn).values()))


def test_foreign_images_must_have_the_chosen_size():
    def ood(size):
        return {"key": "ood", "params": {"against": {"key": "celeba_hair", "params": {"image_size": size}}}}

    assert complete(CATALOG, {"evaluations": [ood(96)], "dataset": WATERBIRDS, "model": {"key": "cnn"}})
    found = errors(evaluations=[ood(64)], dataset=WATERBIRDS, model={"key": "cnn"})
    assert "3 × 64 × 64 against 3 × 96 × 96" in next(iter(found.values()))


def test_pretrained_layers_are_lost_below_the_size_alone():
    resnet = {"key": "resnet18", "params": {"pretrained": True, "pooling": "max"}}
    for size, lost in ((64, True), (96, False)):
        chosen = {"key": "waterbirds", "params": {"image_size": size}}
        flags = plan_run(CATALOG, {"evaluations": [], "dataset": chosen, "model": resnet}).flags
        assert [flag.key for flag in flags] == ["pretrained_layers_lost"] * lost


def test_the_estimate_grows_with_the_size():
    cnn = CATALOG.find(ModelEntry, "cnn")
    params = {param.name: param.default for param in cnn.params}
    small, large = (
        network_cost(cnn, params, CATALOG.dataset("waterbirds", {"image_size": size})) for size in (64, 128)
    )
    assert large.activations == pytest.approx(4 * small.activations)


def test_data_and_specs_from_before_the_sizes_are_those_of_the_default_size():
    before = {"check_sums": True}
    assert dataset_hash({"image_size": 64, **before}) == dataset_hash(before) == content_hash(before)
    assert dataset_hash({"image_size": 96, **before}) != dataset_hash(before)
    now = complete(CATALOG, {"evaluations": [], "dataset": {"key": "waterbirds"}, "model": {"key": "cnn"}})
    old = now.model_copy(deep=True)
    old.dataset.params = before
    assert now.dataset.params == {"image_size": 64, "check_sums": True}
    assert same_data(old.dataset, now.dataset) and spec_hash(old) == spec_hash(now)
    assert CATALOG.dataset("waterbirds", before).image_size == (64, 64)
