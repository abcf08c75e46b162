"""Training tasks with algorithms: resumed in both stages, their files, and the flags of biased validation."""

import io

import numpy as np
import torch

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import run_artifacts
from densitylab.worker.jobs import attempt, train
from densitylab.worker.runtime import stop_signal
from densitylab.worker.training import loop

GROUPED = {
    "dataset": {"key": "textured_digits"},
    "epochs": 3,
    "lambda_": 0.0,
    "evaluations": [],
    "early_stop": {"patience": 9, "metric": "validation_worst_group"},
}
STEPS_OF_AN_EPOCH = 6


def stopping_at(step):
    """`fit`, but stopped after this step as at the shutdown of the worker."""
    fit = loop.fit

    def stopped(state, *given, should_stop, **options):
        def stop():
            if state.step == step:
                stop_signal.request(True)
            return should_stop()

        return fit(state, *given, should_stop=stop, **options)

    return stopped


def test_a_run_that_trains_twice_resumes_in_both_stages_and_keeps_its_error_set(lab, monkeypatch):
    spec = {**GROUPED, "algorithm": {"key": "jtt", "params": {"first_epochs": 1, "upweight": 5}}}
    undisturbed, task = lab.launch(**spec)
    train.run(task)
    run_id, task = lab.launch(**spec)
    for step in (3, STEPS_OF_AN_EPOCH, 10):  # in the first stage, at its end, in the second
        with monkeypatch.context() as patch:
            patch.setattr(train, "fit", stopping_at(step))
            train.run(task)
        stop_signal.request(False)
        assert lab.run(run_id).status == Status.QUEUED
    train.run(task)
    run = lab.run(run_id)
    assert run.status == Status.SUCCEEDED and run.attempt == 4, run.error
    assert lab.rows(run_id) == lab.rows(undisturbed)
    one, other = lab.weights(run_id), lab.weights(undisturbed)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert len([1 for name, _, _ in lab.rows(run_id) if name == "validation_worst_group"]) == 3
    with lab.database.read() as session:
        stored = run_artifacts.artifact(session, run_id, "jtt-error-set.npz")
    with np.load(io.BytesIO(lab.artifacts.read(stored.location)), allow_pickle=False) as arrays:
        indices, images = arrays["indices"], int(arrays["images"])
    assert images == 600 and 0 < len(indices) < 600
    assert f"the error set of the first stage has {len(indices)} of 600 training images" in lab.log(run_id)


def kept_weights(lab, run_id):
    content = lab.artifacts.read(lab.checkpoint(run_id).location)
    return torch.load(io.BytesIO(content), weights_only=True)["weights"]


def test_a_retrained_layer_is_what_the_run_keeps(lab):
    plain, task = lab.launch(**GROUPED)
    train.run(task)
    run_id, task = lab.launch(**GROUPED, algorithm={"key": "dfr", "params": {"c": 0.3, "repeats": 2}})
    train.run(task)
    assert lab.run(run_id).status == Status.SUCCEEDED, lab.run(run_id).error
    assert lab.rows(run_id) == lab.rows(plain)  # the training is that of ERM
    assert "the last layer is fitted to" in lab.log(run_id)
    kept, before = kept_weights(lab, run_id), kept_weights(lab, plain)
    changed = {name for name, value in kept.items() if not torch.equal(value, before[name])}
    assert len(changed) == 2 and {name.rpartition(".")[2] for name in changed} == {"weight", "bias"}


def test_early_stopping_on_biased_validation_images_is_flagged(lab, monkeypatch):
    counts = {"train": [95, 5], "validation": [19, 1], "test": [50, 50]}
    data = attempt.open_data_of_task

    def biased(*given):
        opened = data(*given)
        opened.info.group_counts.clear()
        opened.info.group_counts.update(counts)
        return opened

    monkeypatch.setattr(attempt, "open_data_of_task", biased)
    flagged, task = lab.launch(**GROUPED)
    train.run(task)
    assert "validation_biased" in [flag.key for flag in lab.run(flagged).flags]
    plain, task = lab.launch(**{**GROUPED, "early_stop": None})
    train.run(task)
    assert "validation_biased" not in [flag.key for flag in lab.run(plain).flags]
