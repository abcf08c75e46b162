"""The evaluations of a spec as the form draws them."""

from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.launch_form.evaluation_choice import variants_by_key
from densitylab.frontend.launch_form.sweeps import changes

OCCLUSION = {"attribution": {"key": "occlusion", "params": {"patch": 1, "stride": 1}}}


def test_evaluations_of_one_kind_do_not_replace_each_other():
    variants = variants_by_key(
        [
            {"key": "leakage", "split": "validation", "name": "leakage_validation"},
            {"key": "leakage"},
            {"key": "leakage", "name": "leakage_zero_occlusion", "params": OCCLUSION},
            {"key": "leakage", "split": "validation", "name": "mass_validation", "params": {"target": "margin"}},
        ]
    )
    assert variants == {
        "leakage": [
            {"name": "", "params": {}},
            {"name": "leakage_zero_occlusion", "params": OCCLUSION},
            {"name": "mass", "params": {"target": "margin"}},
        ]
    }


def test_the_demo_evaluates_leakage_by_gradient_and_by_zero_occlusion():
    given = variants_by_key(DEMO.request.spec["evaluations"])["leakage"]
    assert [item["name"] for item in given] == ["", "leakage_zero_occlusion"]
    assert given[1]["params"]["attribution"] == OCCLUSION["attribution"]


def test_a_copy_names_the_variant_that_it_changes():
    spec = {"evaluations": [{"key": "leakage"}, {"key": "leakage", "name": "second", "params": OCCLUSION}]}
    changed = {"evaluations": [{"key": "leakage"}, {"key": "leakage", "name": "second", "params": {"samples": 9}}]}
    before, after = (DEMO.request.model_copy(update={"spec": item}) for item in (spec, changed))
    assert {path.partition(" ")[0] for path, *_ in changes(before, after)} == {"evaluations.second"}


def test_the_accuracy_that_comes_with_validation_images_is_no_choice():
    evaluations = [
        {"key": "leakage", "params": {}},
        {"key": "accuracy", "params": {}, "split": "validation", "name": "accuracy_validation"},
        {"key": "leakage", "params": {}, "split": "validation", "name": "leakage_validation"},
    ]
    assert variants_by_key(evaluations) == {"leakage": [{"name": "", "params": {}}]}
