"""Fields of the training in a spec: hashes of specs without them, and combinations that are refused."""

import pytest

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs import InvalidRequest, cautions, complete, content_hash, spec_hash

CATALOG = Catalog.built_in()
LATER = (
    "label_smoothing",
    "class_weights",
    "gradient_accumulation",
    "activation_checkpointing",
    "algorithm",
    "threads",
)


def test_specs_without_the_later_fields_keep_their_hash():
    spec = complete(CATALOG, {})
    before = {
        name: value for name, value in spec.model_dump().items() if name not in (*LATER, "interface", "init_from")
    }
    for item in before["evaluations"]:
        del item["split"]
    assert spec_hash(spec) == content_hash(before)
    spec.evaluations[1].split = "validation"
    assert spec_hash(spec) != content_hash(before)
    assert spec_hash(RunSpec.model_validate({**spec.model_dump(), "label_smoothing": 0.1})) != spec_hash(spec)


def errors(**spec):
    with pytest.raises(InvalidRequest) as refused:
        complete(CATALOG, {"evaluations": [], **spec})
    return {error.pointer: error.detail for error in refused.value.errors}


def test_a_penalty_that_needs_masks_is_refused_without_them():
    found = errors(dataset={"key": "cifar10"}, regularizer={"key": "right_reasons"})
    assert found == {"/spec/regularizer/key": found["/spec/regularizer/key"]}
    assert "needs a mask, which" in found["/spec/regularizer/key"]
    complete(CATALOG, {"regularizer": {"key": "right_reasons"}})


@pytest.mark.parametrize("key", ["adversarial_training", "fast_adversarial_training", "gaussian_noise"])
def test_a_lambda_that_would_maximise_the_clean_loss_is_refused(key):
    found = errors(regularizer={"key": key}, lambda_=1.5)
    assert "expected at most 1" in found["/spec/lambda_"] and "maximise the loss on clean" in found["/spec/lambda_"]
    assert complete(CATALOG, {"regularizer": {"key": key}, "lambda_": 1.0}).lambda_ == 1.0


def test_options_that_do_not_go_together_are_refused():
    assert "/spec/activation_checkpointing" in errors(
        activation_checkpointing=True, compile=True, regularizer={"key": "none"}
    )
    assert "at most batch_size, 8" in errors(batch_size=8, gradient_accumulation=9)["/spec/gradient_accumulation"]


@pytest.mark.parametrize("key", ["marginal_density", "input_gradient"])
def test_a_penalty_by_forward_mode_is_compiled_and_not_computed_again(key):
    exact, forward = ({"key": key, "params": {"estimator": name}} for name in ("double_backward", "forward_mode"))
    found = errors(regularizer=exact, compile=True)["/spec/compile"]
    assert "take estimator forward_mode" in found and "leave compile off" in found
    assert complete(CATALOG, {"regularizer": forward, "compile": True}).compile
    found = errors(regularizer=forward, activation_checkpointing=True)["/spec/activation_checkpointing"]
    assert "take estimator double_backward" in found and "leave activation_checkpointing off" in found
    assert complete(CATALOG, {"regularizer": exact, "activation_checkpointing": True}).activation_checkpointing
    spec = {"regularizer": forward, "activation_checkpointing": True, "lambda_": 0}
    assert complete(CATALOG, spec).activation_checkpointing


def test_input_gradients_from_before_the_estimator_keep_their_hash():
    spec = complete(CATALOG, {"regularizer": {"key": "input_gradient"}})
    before = spec.model_dump()
    assert before["regularizer"]["params"].pop("estimator") == "double_backward"
    assert spec_hash(spec) == spec_hash(before)
    other = {"key": "input_gradient", "params": {"estimator": "forward_mode"}}
    assert spec_hash(complete(CATALOG, {"regularizer": other})) != spec_hash(spec)


def test_corruptions_need_published_ones():
    found = errors(evaluations=[{"key": "corruptions"}])
    assert "needs published corruptions, which" in found["/spec/evaluations/0/key"]
    complete(CATALOG, {"dataset": {"key": "cifar10"}, "evaluations": [{"key": "corruptions"}]})


GROUPED = {"dataset": {"key": "textured_digits"}}


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"algorithm": {"key": "group_dro"}}, "/spec/algorithm/key"),
        ({"algorithm": {"key": "dfr"}}, "/spec/algorithm/key"),
        ({"algorithm": {"key": "reweighting"}}, "/spec/algorithm/params/by"),
        ({"early_stop": {"patience": 2, "metric": "validation_worst_group"}}, "/spec/early_stop/metric"),
    ],
)
def test_what_needs_groups_is_refused_without_them_at_its_field(spec, pointer):
    found = errors(**spec)
    assert list(found) == [pointer]
    assert "needs groups, which BlockMNIST" in found[pointer] and "does not have" in found[pointer]
    complete(CATALOG, spec | GROUPED)


def test_algorithms_without_groups_run_on_every_data_set():
    for algorithm in ({"key": "jtt"}, {"key": "reweighting", "params": {"by": "class"}}):
        assert complete(CATALOG, {"algorithm": algorithm}).algorithm.key == algorithm["key"]


def test_an_algorithm_that_draws_the_images_takes_no_other_sampling():
    found = errors(algorithm={"key": "group_dro"}, sampling="group_balanced", **GROUPED)
    assert "Group DRO draws the images itself here: expected 'shuffled'" in found["/spec/sampling"]
    drawn = {"algorithm": {"key": "group_dro", "params": {"balanced": False}}, "sampling": "group_balanced", **GROUPED}
    assert complete(CATALOG, drawn).sampling == "group_balanced"


def test_the_first_stage_is_shorter_than_the_run():
    found = errors(algorithm={"key": "jtt", "params": {"first_epochs": 4}}, epochs=4)
    assert "fewer than the 4 epochs of the run" in found["/spec/algorithm/params/first_epochs"]


def test_the_layer_that_is_fitted_to_validation_images_is_cautioned():
    spec = complete(CATALOG, {"algorithm": {"key": "dfr"}, **GROUPED})
    assert [flag.key for flag in cautions(CATALOG, spec)] == ["fitted_to_validation"]


def test_images_are_mixed_after_the_data_sets_own_augmentation():
    mixed = {"evaluations": [], "dataset": {"key": "cifar10"}, "augmentation": {"key": "mixup"}}
    completed = complete(CATALOG, mixed).augmentation
    assert completed.params == {"alpha": 0.2, "first": {"key": "flip_and_crop", "params": {"padding": 4}}}
    again = errors(augmentation={"key": "mixup", "params": {"first": {"key": "cutmix"}}})
    assert "which mixes them itself" in again["/spec/augmentation/params/first/key"]
    assert "/spec/augmentation/params/first" in errors(augmentation={"key": "cutmix", "params": {"first": "none"}})
