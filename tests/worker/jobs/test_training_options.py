"""A training task with the options of its loss and memory, and the curves that a regularizer's monitor adds."""

from densitylab.backend.shared.contracts import Status
from densitylab.worker.jobs import train


def test_a_run_trains_with_all_of_them(lab):
    run_id, task = lab.launch(
        regularizer={"key": "fast_adversarial_training", "params": {"epsilon": 0.05}},
        lambda_=1.0,
        label_smoothing=0.1,
        class_weights="balanced",
        gradient_accumulation=3,
        activation_checkpointing=True,
    )
    train.run(task)
    run = lab.run(run_id)
    assert run.status == Status.SUCCEEDED, run.error
    rows = lab.rows(run_id)
    assert {name for name, _, _ in rows} >= {"loss", "penalty", "validation_fgsm_accuracy", "validation_pgd_accuracy"}
    assert len([1 for name, _, _ in rows if name == "validation_pgd_accuracy"]) == 2


def test_a_run_trains_on_masks(lab):
    run_id, task = lab.launch(regularizer={"key": "right_reasons"}, lambda_=0.1)
    train.run(task)
    assert lab.run(run_id).status == Status.SUCCEEDED
    assert "penalty" in {name for name, _, _ in lab.rows(run_id)}


def test_a_run_mixes_images_after_another_augmentation(lab):
    first = {"key": "random_crop", "params": {"padding": 2}}
    run_id, task_id = lab.launch(augmentation={"key": "cutmix", "params": {"first": first}}, evaluations=[])
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED, lab.run(run_id).error
    plain, task_id = lab.launch(augmentation=first, evaluations=[])
    train.run(task_id)
    assert lab.rows(run_id) != lab.rows(plain)
