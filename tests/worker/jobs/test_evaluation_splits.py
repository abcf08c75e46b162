"""Evaluations on validation images, in this process, on a real database."""

from densitylab.worker.jobs import evaluate, train

OTHER = {"key": "blockmnist", "params": {"data_seed": 5}}


def test_an_evaluation_runs_on_the_images_of_its_split(lab):
    run_id, task_id = lab.launch(
        evaluations=[
            {"key": "accuracy", "split": "validation"},
            {"key": "ood", "split": "validation", "params": {"against": OTHER}},
            {"key": "ood", "params": {"against": OTHER, "samples": 50}},
        ]
    )
    train.run(task_id)
    for item in lab.evaluations(run_id).values():
        evaluate.run(item.task)
    measured = lab.evaluations(run_id)
    assert {item.error for item in measured.values()} == {None}
    last = lab.run(run_id).metrics["validation_accuracy"]
    validation, test = measured["accuracy_validation"].values["accuracy"], measured["accuracy"].values["accuracy"]
    assert abs(validation.value - last) < 1e-6 and validation.n != test.n
    ood = measured["ood_validation"].values
    assert ood["in_images"].value == ood["out_images"].value == validation.n
    assert {"accuracy_validation.accuracy", "accuracy.accuracy"} <= lab.run(run_id).results.keys()
