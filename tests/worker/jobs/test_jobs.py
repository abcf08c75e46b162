"""The jobs, in this process, on a real database and real files."""

import io
import re
import resource
import threading
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import torch
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from densitylab.backend.shared import log_format
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.store import datasets, run_artifacts, tasks
from densitylab.backend.shared.tables import TaskRow
from densitylab.worker.jobs import attempt, checkpointing, evaluate, failures, prepare, task_runner, train
from densitylab.worker.runtime import room, stop_signal
from densitylab.worker.runtime.lease import Lease
from tests.worker.meanwhile import when

STEPS = 12


def test_a_run_is_trained_and_evaluated(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    run = lab.run(run_id)
    assert (run.status, run.error, run.progress, run.checkpoint_step) == (Status.SUCCEEDED, None, 1.0, STEPS)
    assert re.fullmatch(r"cpu \(\w+, (1 thread|\d+ threads)\)", run.device)
    assert run.provenance["data_hash"] and run.provenance["packages"]["torch"] and run.provenance["code"] == "test"
    names = {name for name, _, _ in lab.rows(run_id)}
    assert names == {
        "loss",
        "cross_entropy",
        "penalty",
        "lambda_",
        "learning_rate",
        "train_accuracy",
        "gradient_norm",
        "gradient_norm_log_prob",
        "gradient_norm_margin",
        "validation_accuracy",
        "validation_cross_entropy",
    }
    assert {step for name, step, _ in lab.rows(run_id) if name == "loss"} == set(range(1, STEPS + 1))
    assert run.metrics["loss"] == next(value for name, step, value in lab.rows(run_id) if (name, step) == ("loss", 12))
    assert "epoch 2 of 2" in lab.log(run_id) and "parameters" in lab.log(run_id)
    for item in lab.evaluations(run_id).values():
        assert item.status == Status.QUEUED
        evaluate.run(item.task)
    measured = lab.evaluations(run_id)
    assert [item.status for item in measured.values()] == [Status.SUCCEEDED] * 3
    assert lab.run(run_id).provenance["precision"] == "float32"
    assert lab.run(run_id).provenance["evaluated"]["leakage"] == {
        "version": measured["leakage"].provenance["measure_version"],
        "device": measured["leakage"].provenance["device"],
    }
    results = lab.run(run_id).results
    assert {
        "accuracy.accuracy",
        "accuracy.cross_entropy",
        "leakage.l2",
        "leakage.share",
        "leakage.ratio",
        "pgd_linf.accuracy",
    } <= set(results)
    assert results["accuracy.accuracy"].n == 1000 and results["pgd_linf.accuracy"].n == 40
    assert measured["accuracy"].provenance["data_hash"] == run.provenance["data_hash"]
    with lab.database.read() as session:
        stored = run_artifacts.artifact(session, run_id, "accuracy.npz")
    with np.load(io.BytesIO(lab.artifacts.read(stored.location)), allow_pickle=False) as arrays:
        assert arrays["correct"].mean() == pytest.approx(results["accuracy.accuracy"].value)
        assert np.array_equal(arrays["correct"], arrays["predicted"] == arrays["label"])
    with lab.database.read() as session:
        stored = run_artifacts.artifact(session, run_id, "pgd_linf.npz")
    with np.load(io.BytesIO(lab.artifacts.read(stored.location)), allow_pickle=False) as arrays:
        assert len(arrays["indices"]) == 40 and np.bincount(arrays["label"]).tolist() == [4] * 10


def test_evaluations_get_the_data_the_runs_and_the_prior_results_that_they_use(lab):
    source, task_id = lab.launch(evaluations=[], seed=1)
    train.run(task_id)
    other = {"key": "blockmnist", "params": {"data_seed": 5}}
    pgd = {"steps": 2, "samples": 40}
    run_id, task_id = lab.launch(
        evaluations=[
            {"key": "density", "params": {"against": other, "samples": 50}},
            {"key": "ood", "params": {"against": other, "samples": 50}},
            {"key": "stability", "params": {"samples": 50}},
            {"key": "transfer_linf", "params": {"source": source, "steps": 2, "samples": 40}},
            {"key": "pgd_linf", "params": {"epsilons": [0.1], **pgd}},
            {"key": "pgd_linf", "name": "more", "params": {"epsilons": [0.05, 0.1], **pgd}},
        ]
    )
    train.run(task_id)
    for item in lab.evaluations(run_id).values():
        evaluate.run(item.task)
    measured = lab.evaluations(run_id)
    assert {item.error for item in measured.values()} == {None}
    assert measured["density"].values["log_density_other"].n == 50
    assert measured["ood"].values["out_images"].value == 50
    assert abs(measured["stability"].values["spearman_random_weights"].value) < 0.2
    assert measured["transfer_linf"].values["white_box"].n == 40
    assert measured["more"].curves["accuracy"].y[2] == measured["pgd_linf"].values["accuracy"].value
    assert measured["more"].provenance["measure_version"] == 3


def test_a_second_delivery_does_nothing(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    before = lab.rows(run_id)
    train.run(task_id)
    assert lab.run(run_id).attempt == 1 and lab.rows(run_id) == before


def test_samples_of_the_prepared_data_set_are_stored(lab):
    _, task_id = lab.launch()
    train.run(task_id)
    with lab.database.read() as session:
        row = datasets.get(session, "blockmnist", {"data_seed": 0})
    assert row.ready and row.sizes == {"train": 3600, "validation": 400, "test": 1000} and row.bytes > 0
    with np.load(io.BytesIO(lab.artifacts.read(row.samples_location)), allow_pickle=False) as arrays:
        assert arrays["test_images"].shape == (1000, 1, 56, 28) and arrays["test_images"].dtype == np.uint8
        assert arrays["train_images"].shape[0] == 3600 and arrays["train_masks"].shape == (3600, 1, 56, 28)
        assert "test_groups" not in arrays


def test_preparation_is_a_job_of_its_own(lab):
    with lab.database.write() as session:
        task = tasks.create(session, TaskKind.PREPARE, payload={"key": "blockmnist", "params": {"data_seed": 5}})
    prepare.run(task.id)
    with lab.database.read() as session:
        assert tasks.get(session, task.id).status == Status.SUCCEEDED
        assert datasets.get(session, "blockmnist", {"data_seed": 5}).ready


def test_a_stopped_run_continues_as_if_uninterrupted(lab):
    reference, task_id = lab.launch(epochs=8)
    train.run(task_id)
    run_id, task_id = lab.launch(epochs=8)
    with when(lambda: lab.run(run_id).progress > 0, lambda: stop_signal.request(True)):
        train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.QUEUED and 0 < run.checkpoint_step < 48
    assert "the worker shuts down" in lab.log(run_id)
    stop_signal.request(False)
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED and lab.run(run_id).attempt == 2
    assert f"continues from the checkpoint of step {run.checkpoint_step}" in lab.log(run_id)
    assert lab.rows(run_id) == lab.rows(reference)
    for name, tensor in lab.weights(reference).items():
        assert torch.equal(tensor, lab.weights(run_id)[name]), name
    assert len(lab.artifacts.locations(f"runs/{run_id}/checkpoints")) == 1


def test_a_cancelled_run_keeps_its_checkpoint_and_can_be_retried(lab):
    run_id, task_id = lab.launch(epochs=200)

    def cancel():
        with lab.database.write() as session:
            tasks.request_cancel(session, task_id)

    began = []
    with when(lambda: lab.run(run_id).progress > 0, lambda: (cancel(), began.append(time.monotonic()))):
        train.run(task_id)
    assert time.monotonic() - began[0] < 3.0
    run = lab.run(run_id)
    assert run.status == Status.CANCELLED and run.checkpoint_step > 0
    assert {item.status for item in lab.evaluations(run_id).values()} == {Status.CANCELLED}
    assert "cancelled" in lab.log(run_id)
    with lab.database.write() as session:
        assert tasks.retry(session, task_id)
        assert tasks.get(session, task_id).status == Status.QUEUED


def test_a_corrupt_checkpoint_is_logged_and_training_starts_again(lab):
    reference, task_id = lab.launch(epochs=8)
    train.run(task_id)
    run_id, task_id = lab.launch(epochs=8)
    with when(lambda: lab.run(run_id).progress > 0, lambda: stop_signal.request(True)):
        train.run(task_id)
    stop_signal.request(False)
    location = lab.checkpoint(run_id).location
    damaged = bytearray(lab.artifacts.read(location))
    damaged[len(damaged) // 2] ^= 255
    lab.artifacts.write(location, bytes(damaged))
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED
    assert "warning: the checkpoint of step" in lab.log(run_id) and "from scratch" in lab.log(run_id)
    assert lab.rows(run_id) == lab.rows(reference)
    for name, tensor in lab.weights(reference).items():
        assert torch.equal(tensor, lab.weights(run_id)[name]), name


@contextmanager
def small_files_only(limit: int):
    """Limit the size of files that this process can write, to simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_disk_space_the_training_waits_with_its_metrics_stored(lab, monkeypatch):
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)  # includes attempts during training
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.2)
    _, task_id = lab.launch()
    train.run(task_id)  # prepares the data, which are large files too
    run_id, task_id = lab.launch(model={"key": "mlp", "params": {"hidden": 512}})
    seen = []

    def make_room() -> None:
        while "waits until there is room" not in lab.log(run_id):
            time.sleep(0.05)
        files = lab.artifacts.locations(f"runs/{run_id}")
        while any(name.endswith(".partial") for name in files):  # of the next attempt, which is under way
            files = lab.artifacts.locations(f"runs/{run_id}")
        seen.extend([lab.run(run_id), lab.rows(run_id), files])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[1], before[1]))

    thread = threading.Thread(target=make_room)
    thread.start()
    with small_files_only(4 * 2**20):
        train.run(task_id)
    thread.join()
    run, rows, files = seen
    assert run.stage == "waits: the disk of the artifact store is full" and files == []
    assert {step for name, step, _ in rows if name == "loss"} == set(range(1, STEPS + 1))
    assert lab.run(run_id).status == Status.SUCCEEDED


def test_out_of_memory_fails_with_advice(lab, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS)
    run_id, task_id = lab.launch(
        batch_size=3600, train_samples=None, epochs=1, model={"key": "cnn", "params": {"width": 512}}
    )
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    try:
        train.run(task_id)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    run = lab.run(run_id)
    assert run.status == Status.FAILED
    assert "Out of memory on cpu" in run.error and "batch_size 1800" in run.error


def test_a_diverged_run_says_so_and_keeps_its_points(lab):
    run_id, task_id = lab.launch(optimizer={"key": "sgd", "params": {"lr": 10.0}}, lambda_=1000.0, epochs=20)
    train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.FAILED and "not a finite number" in run.error and "smaller" in run.error
    assert ("loss", 1) in {(name, step) for name, step, _ in lab.rows(run_id)}
    assert {item.status for item in lab.evaluations(run_id).values()} == {Status.CANCELLED}


def test_a_failed_evaluation_does_not_fail_its_run(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    lab.artifacts.delete(lab.checkpoint(run_id).location)
    evaluate.run(lab.evaluations(run_id)["accuracy"].task)
    item = lab.evaluations(run_id)["accuracy"]
    assert item.status == Status.FAILED and "can't be used" in item.error
    assert lab.run(run_id).status == Status.SUCCEEDED


def test_a_missing_gpu_is_reported(lab):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run_id, task_id = lab.launch(device="cuda")
    train.run(task_id)
    assert lab.run(run_id).status == Status.FAILED and "has no GPU" in lab.run(run_id).error


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"key": "resnet18", "params": {"pooling": "max", "pretrained": True}}, "could not be downloaded"),
        ({"key": "timm", "params": {"name": "resnett18"}}, "no model 'resnett18'|pip install timm"),
    ],
)
def test_a_model_that_cannot_be_built_fails_its_run_with_one_sentence(
    lab, tmp_path, monkeypatch, offline, model, reason
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    run_id, task_id = lab.launch(model=model)
    train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.FAILED and re.search(reason, run.error)
    assert "\n" not in run.error and "Traceback" not in run.error


def test_a_run_that_stops_early_succeeds_and_logs_its_best_epoch(lab):
    fast = {"key": "adam", "params": {"lr": 0.03}}
    run_id, task_id = lab.launch(
        early_stop={"patience": 1},
        epochs=60,
        lambda_=0,
        optimizer=fast,
        ema_decay=0.5,
        gradient_clip=5.0,
        augmentation={"key": "random_crop"},
        sampling="class_balanced",
        lr_schedule={"key": "step"},
    )
    train.run(task_id)
    run = lab.run(run_id)
    assert (run.status, run.progress) == (Status.SUCCEEDED, 1.0) and run.checkpoint_step < 60 * 6
    best = run.checkpoint_step // 6 - 1
    assert "stopped early" in lab.log(run_id) and f"the weights are those of epoch {best}, with" in lab.log(run_id)
    content = torch.load(io.BytesIO(lab.artifacts.read(lab.checkpoint(run_id).location)), weights_only=True)
    kept = content["weights"]
    assert all(torch.equal(value, content["state"]["best"]["weights"][name]) for name, value in kept.items())
    assert not all(torch.equal(value, content["state"]["model"][name]) for name, value in kept.items())


def test_without_a_compiler_a_run_continues_uncompiled_with_a_warning(lab, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    run_id, task_id = lab.launch(compile=True, lambda_=0)
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED
    assert "warning: the model is not compiled, since this worker lacks a C++ compiler" in lab.log(run_id)


def test_an_operation_without_a_deterministic_implementation_is_named(lab, monkeypatch):
    def forward(self, x):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return (x - self.mean) / self.std

    monkeypatch.setattr("densitylab.worker.models.normalise.Normalise.forward", forward)
    run_id, task_id = lab.launch(deterministic=True)
    train.run(task_id)
    error = lab.run(run_id).error
    assert (
        error.startswith("The model uses put_, which has no deterministic implementation")
        and "deterministic off" in error
    )


def test_a_worker_without_its_lease_writes_nothing(lab):
    run_id, task_id = lab.launch(epochs=200)

    def take_over():  # as the reconciler and another worker do
        with lab.database.write() as session:
            tasks.end_cancelled(session, task_id)

    with when(lambda: lab.run(run_id).progress > 0, take_over):
        train.run(task_id)
    before = lab.rows(run_id)
    run = lab.run(run_id)
    assert run.status == Status.CANCELLED and run.checkpoint_step is None
    time.sleep(0.7)
    assert lab.rows(run_id) == before


def test_orphans_of_older_tokens_are_deleted(lab):
    run_id, task_id = lab.launch()
    lab.artifacts.write(f"runs/{run_id}/checkpoints/0-7.pt", b"left behind")
    train.run(task_id)
    assert lab.artifacts.locations(f"runs/{run_id}/checkpoints") == [lab.checkpoint(run_id).location]


def test_the_lease_is_renewed_and_notices_a_cancel(lab):
    with lab.database.write() as session:
        task = tasks.create(session, TaskKind.PREPARE)
    lease = Lease.claim(lab.database, task.id)
    assert Lease.claim(lab.database, task.id) is None
    with lease:
        lease.report(stage="halfway", progress=0.5, eta_seconds=9.0)
        time.sleep(0.8)
        with lab.database.read() as session:
            shown = tasks.get(session, task.id)
        assert (shown.stage, shown.progress, shown.eta_seconds) == ("halfway", 0.5, 9.0)
        with lab.database.write() as session:
            tasks.request_cancel(session, task.id)
        time.sleep(1.0)
        assert lease.should_stop() and lease.cancelled


def test_a_database_outage_does_not_fail_a_run(lab):
    run_id, task_id = lab.launch()

    def work(context, lease):
        raise OperationalError("", {}, Exception("server closed the connection"))

    task_runner.run_task(task_id, work)
    assert lab.run(run_id).status == Status.RUNNING and lab.run(run_id).error is None
    with lab.database.write() as session:  # as if the lease had expired
        session.execute(update(TaskRow).where(TaskRow.id == task_id).values(lease_until=1.0))
        assert tasks.reap(session) == [task_id]
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED


@pytest.mark.parametrize("committed", [False, True])
def test_a_checkpoint_that_the_database_refuses_is_stored_later(lab, monkeypatch, committed):
    run_id, task_id = lab.launch(epochs=3)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpointing, "SHARE_OF_TIME", 100.0)
    flush, refused = attempt.Recorder.flush, []

    def refuse_the_third(recorder, also=None, **others):
        if also is not None and recorder._lease.task.token == 1 and (refused.append(1) or len(refused) == 3):
            if committed:
                flush(recorder, also, **others)
            raise OperationalError("", {}, Exception("server closed the connection"))
        flush(recorder, also, **others)

    monkeypatch.setattr(attempt.Recorder, "flush", refuse_the_third)
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED and len(refused) > 3
    assert lab.artifacts.locations(f"runs/{run_id}/checkpoints") == [lab.checkpoint(run_id).location]
    assert "could not be stored (server closed the connection)" in lab.log(run_id)


def test_an_unexpected_error_is_stored_with_its_last_lines_and_logged_with_its_ids(lab, monkeypatch):
    run_id, task_id = lab.launch()

    def work(context, lease):
        raise KeyError("something nobody thought of")

    contexts = []
    monkeypatch.setattr(
        task_runner._log, "error", lambda *_args, **_more: contexts.append(log_format.log_context.get())
    )
    task_runner.run_task(task_id, work)
    assert contexts == [{"run": run_id, "task": task_id}] and log_format.log_context.get() == {}
    assert lab.run(run_id).status == Status.FAILED and "KeyError" in lab.run(run_id).error
    assert "something nobody thought of" in lab.log(run_id)
    assert failures.sentence(MemoryError()).startswith("Out of memory")
