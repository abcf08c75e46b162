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

from backend.shared import contracts
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Status, TaskKind
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.specs import plan
from backend.shared.store import attributions, datasets, evaluations, experiments, logs, metrics, runs, tasks
from backend.shared.tables import Base
from worker import shutdown
from worker.jobs import attribute, checkpointing, evaluate, failures, prepare, running, train
from worker.lease import Lease

SMALL = {
    "model": {"key": "mlp", "params": {"hidden": 32}}, "epochs": 2, "train_samples": 600, "device": "cpu",
    "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": {"epsilons": [0.1], "steps": 2, "samples": 40}}],
}
STEPS = 12


class Lab:
    """A state folder of its own."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.settings.home.mkdir(parents=True)
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def launch(self, **changes) -> tuple[int, int]:
        """(run, train task) of a new run."""
        with self.database.write() as session:
            experiment = experiments.create(session, name="test", notes="", tags=[], request={},
                                            planned=plan(SMALL | changes, None), provenance={"code": "test"})
            run_id = experiments.run_ids(session, experiment.id)[0]
            return run_id, runs.train_task(session, run_id)

    def run(self, run_id: int) -> contracts.Run:
        with self.database.read() as session:
            return runs.get(session, run_id)

    def evaluations(self, run_id: int) -> dict[str, contracts.Evaluation]:
        with self.database.read() as session:
            return {item.name: item for item in evaluations.of_run(session, run_id)}

    def log(self, run_id: int) -> str:
        with self.database.read() as session:
            return "\n".join(f"{line.level}: {line.text}" for line in logs.read(session, run_id))

    def rows(self, run_id: int) -> set[tuple[str, int, float]]:
        with self.database.read() as session:
            return {(item.name, point.step, point.value) for item in metrics.read(session, run_id)
                    for point in item.points if item.name != "throughput"}

    def checkpoint(self, run_id: int):
        with self.database.read() as session:
            return runs.artifact(session, run_id, "checkpoint.pt")

    def weights(self, run_id: int) -> dict[str, torch.Tensor]:
        data = self.artifacts.read(self.checkpoint(run_id).location)
        return torch.load(io.BytesIO(data), weights_only=True)["state"]["model"]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")  # prepared once for all


@pytest.fixture
def lab(tmp_path, data_folder, monkeypatch):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DENSITYLAB_DATA_DIR", str(data_folder))
    monkeypatch.setenv("DENSITYLAB_THREADS", "1")
    lab = Lab()
    yield lab
    shutdown.tell(False)
    lab.database.close()


@contextmanager
def when(condition, act):
    """Does `act` from another thread as soon as `condition` holds, as somebody else would."""
    ended = threading.Event()

    def watch():
        while not ended.wait(0.01):
            if condition():
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_a_run_is_trained_and_measured(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    run = lab.run(run_id)
    assert (run.status, run.error, run.progress, run.checkpoint_step) == (Status.SUCCEEDED, None, 1.0, STEPS)
    assert run.device == "cpu (x86_64, 1 threads)" or run.device.startswith("cpu (")
    assert run.provenance["data_hash"] and run.provenance["packages"]["torch"] and run.provenance["code"] == "test"
    names = {name for name, _, _ in lab.rows(run_id)}
    assert names == {"loss", "cross_entropy", "penalty", "lambda_", "learning_rate", "train_accuracy", "gradient_norm",
                     "gradient_norm_log_prob", "gradient_norm_margin", "validation_accuracy",
                     "validation_cross_entropy"}
    assert {step for name, step, _ in lab.rows(run_id) if name == "loss"} == set(range(1, STEPS + 1))
    assert run.metrics["loss"] == next(value for name, step, value in lab.rows(run_id) if (name, step) == ("loss", 12))
    assert "epoch 2 of 2" in lab.log(run_id) and "parameters" in lab.log(run_id)
    for item in lab.evaluations(run_id).values():
        assert item.status == Status.QUEUED
        evaluate.run(item.task)
    measured = lab.evaluations(run_id)
    assert [item.status for item in measured.values()] == [Status.SUCCEEDED] * 3
    results = lab.run(run_id).results
    assert {"accuracy.accuracy", "accuracy.cross_entropy", "leakage.l2", "leakage.share", "leakage.ratio",
            "pgd_linf.accuracy"} <= set(results)
    assert results["accuracy.accuracy"].n == 1000 and results["pgd_linf.accuracy"].n == 40
    assert measured["accuracy"].provenance["data_hash"] == run.provenance["data_hash"]
    with lab.database.read() as session:
        stored = runs.artifact(session, run_id, "accuracy.npz")
    with np.load(io.BytesIO(lab.artifacts.read(stored.location)), allow_pickle=False) as arrays:
        assert arrays["correct"].mean() == pytest.approx(results["accuracy.accuracy"].value)


def test_a_second_delivery_does_nothing(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    before = lab.rows(run_id)
    train.run(task_id)
    assert lab.run(run_id).attempt == 1 and lab.rows(run_id) == before


def test_the_prepared_data_set_is_shown(lab):
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


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(lab):
    reference, task_id = lab.launch(epochs=8)
    train.run(task_id)
    run_id, task_id = lab.launch(epochs=8)
    with when(lambda: lab.run(run_id).progress > 0, lambda: shutdown.tell(True)):
        train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.QUEUED and 0 < run.checkpoint_step < 48
    assert "the worker shuts down" in lab.log(run_id)
    shutdown.tell(False)
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED and lab.run(run_id).attempt == 2
    assert f"goes on from the checkpoint of step {run.checkpoint_step}" in lab.log(run_id)
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


def test_a_corrupt_checkpoint_is_said_and_training_begins_again(lab):
    reference, task_id = lab.launch(epochs=8)
    train.run(task_id)
    run_id, task_id = lab.launch(epochs=8)
    with when(lambda: lab.run(run_id).progress > 0, lambda: shutdown.tell(True)):
        train.run(task_id)
    shutdown.tell(False)
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
    """The kernel refuses to write a file past `limit` bytes in this process, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_for_the_checkpoint_the_run_fails_with_the_reason_and_keeps_its_metrics(lab, monkeypatch):
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)  # tries in between as well
    _, task_id = lab.launch()
    train.run(task_id)  # prepares the data, which are large files too
    run_id, task_id = lab.launch(model={"key": "mlp", "params": {"hidden": 512}})
    with small_files_only(4 * 2**20):
        train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.FAILED
    assert "final checkpoint could not be stored" in run.error and "free some space" in run.error
    assert {step for name, step, _ in lab.rows(run_id) if name == "loss"} == set(range(1, STEPS + 1))
    assert "could not be stored" in lab.log(run_id)
    assert lab.artifacts.locations(f"runs/{run_id}") == []
    with lab.database.write() as session:
        assert tasks.retry(session, task_id)
    train.run(task_id)  # there is room again
    assert lab.run(run_id).status == Status.SUCCEEDED


def test_out_of_memory_is_said_with_what_to_do(lab, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS)
    run_id, task_id = lab.launch(batch_size=3600, train_samples=None, epochs=1,
                                 model={"key": "cnn", "params": {"width": 512}})
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


def test_a_failed_measure_does_not_fail_its_run(lab):
    run_id, task_id = lab.launch()
    train.run(task_id)
    lab.artifacts.delete(lab.checkpoint(run_id).location)
    evaluate.run(lab.evaluations(run_id)["accuracy"].task)
    item = lab.evaluations(run_id)["accuracy"]
    assert item.status == Status.FAILED and "can't be used" in item.error
    assert lab.run(run_id).status == Status.SUCCEEDED


def test_a_gpu_that_is_not_there_is_said(lab):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run_id, task_id = lab.launch(device="cuda")
    train.run(task_id)
    assert lab.run(run_id).status == Status.FAILED and "has no GPU" in lab.run(run_id).error


@pytest.mark.parametrize(("model", "reason"), [
    ({"key": "resnet18", "params": {"pooling": "max", "pretrained": True}}, "could not be downloaded"),
    ({"key": "timm", "params": {"name": "resnett18"}}, "no model 'resnett18'|pip install timm"),
])  # fmt: skip
def test_a_model_that_cannot_be_built_fails_its_run_with_one_sentence(lab, tmp_path, monkeypatch, model, reason):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    run_id, task_id = lab.launch(model=model)
    train.run(task_id)
    run = lab.run(run_id)
    assert run.status == Status.FAILED and re.search(reason, run.error)
    assert "\n" not in run.error and "Traceback" not in run.error


def test_a_run_that_stops_early_has_succeeded_and_says_which_weights_it_keeps(lab):
    fast = {"key": "adam", "params": {"lr": 0.03}}
    run_id, task_id = lab.launch(
        early_stop={"patience": 1}, epochs=60, lambda_=0, optimizer=fast, ema_decay=0.5, gradient_clip=5.0,
        augmentation={"key": "random_crop"}, sampling="class_balanced", lr_schedule={"key": "step"},
    )  # fmt: skip
    train.run(task_id)
    run = lab.run(run_id)
    assert (run.status, run.progress) == (Status.SUCCEEDED, 1.0) and run.checkpoint_step < 60 * 6
    best = run.checkpoint_step // 6 - 1
    assert "stopped early" in lab.log(run_id) and f"the weights are those of epoch {best}, with" in lab.log(run_id)
    content = torch.load(io.BytesIO(lab.artifacts.read(lab.checkpoint(run_id).location)), weights_only=True)
    kept = content["weights"]
    assert all(torch.equal(value, content["state"]["best"]["weights"][name]) for name, value in kept.items())
    assert not all(torch.equal(value, content["state"]["model"][name]) for name, value in kept.items())


def test_without_a_compiler_a_run_goes_on_uncompiled_and_says_so(lab, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    run_id, task_id = lab.launch(compile=True, lambda_=0)
    train.run(task_id)
    assert lab.run(run_id).status == Status.SUCCEEDED
    assert "warning: the model is not compiled, since this worker lacks a C++ compiler" in lab.log(run_id)


def test_an_operation_without_a_deterministic_form_is_named(lab, monkeypatch):
    def forward(self, x):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return (x - self.mean) / self.std

    monkeypatch.setattr("worker.models.normalise.Normalise.forward", forward)
    run_id, task_id = lab.launch(deterministic=True)
    train.run(task_id)
    error = lab.run(run_id).error
    assert error.startswith("The model uses put_, which has no deterministic form") and "deterministic off" in error


def test_what_lost_its_lease_writes_no_more(lab):
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


def test_orphans_of_older_tokens_go(lab):
    run_id, task_id = lab.launch()
    lab.artifacts.write(f"runs/{run_id}/checkpoints/0-7.pt", b"left behind")
    train.run(task_id)
    assert lab.artifacts.locations(f"runs/{run_id}/checkpoints") == [lab.checkpoint(run_id).location]


def test_the_lease_is_renewed_and_hears_of_a_cancel(lab):
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


def test_an_unforeseen_error_is_kept_with_its_last_lines(lab):
    run_id, task_id = lab.launch()

    def work(context, lease):
        raise KeyError("something nobody thought of")

    running.run_task(task_id, work)
    assert lab.run(run_id).status == Status.FAILED and "KeyError" in lab.run(run_id).error
    assert "something nobody thought of" in lab.log(run_id)
    assert failures.sentence(MemoryError()).startswith("Out of memory")


# ---- maps ------------------------------------------------------------------------------------------------------


def _ask(lab, **request) -> int:
    with lab.database.write() as session:
        return attributions.create(session, {
            "runs": request["runs"], "method": request.get("method", "gradient"), "params": request.get("params", {}),
            "samples": {"split": "test", "indices": request.get("indices", [0, 3, 5])},
            "target": request.get("target", "label"),
        }, "hash")


def _maps(lab, attribution_id: int) -> tuple[contracts.Attribution, dict[str, np.ndarray]]:
    with lab.database.read() as session:
        attribute.run(attributions.get(session, attribution_id).task)
    with lab.database.read() as session:
        answer, location = attributions.get(session, attribution_id), attributions.location(session, attribution_id)
    if location is None:
        return answer, {}
    with np.load(io.BytesIO(lab.artifacts.read(location)), allow_pickle=False) as arrays:
        return answer, dict(arrays)


def test_maps_of_two_runs(lab):
    first, task_id = lab.launch()
    train.run(task_id)
    second, task_id = lab.launch(lambda_=0.0)
    train.run(task_id)
    answer, arrays = _maps(lab, _ask(lab, runs=[first, second], target="predicted"))
    assert answer.status == Status.SUCCEEDED, answer.error
    assert arrays["attributions"].shape == (2, 3, 1, 56, 28) and arrays["attributions"].dtype == np.float32
    assert arrays["images"].shape == (3, 1, 56, 28) and arrays["masks"].shape == (3, 1, 56, 28)
    assert arrays["predicted"].shape == arrays["confidence"].shape == (2, 3)
    assert arrays["runs"].tolist() == [first, second] and arrays["indices"].tolist() == [0, 3, 5]
    assert answer.limit == pytest.approx(np.percentile(np.abs(arrays["attributions"]), 99), rel=1e-6)
    assert [(panel.run, panel.index) for panel in answer.panels] == [(run, i) for run in (first, second)
                                                                     for i in (0, 3, 5)]
    for number, panel in enumerate(answer.panels):
        shown = arrays["attributions"].reshape(6, 56, 28)[number].astype(np.float64)
        mask = arrays["masks"][number % 3, 0]
        assert panel.leakage == pytest.approx(np.linalg.norm(shown[mask]))
        assert panel.leakage_share == pytest.approx(np.sum(shown[mask] ** 2) / np.sum(shown**2))
        assert panel.target == panel.predicted == arrays["predicted"].reshape(6)[number]
        assert not panel.zero and not panel.nan
    # the plain gradient, without Captum and without our job
    weights = lab.weights(second)
    x = torch.from_numpy(arrays["images"]).float().div(255).requires_grad_()
    hidden = x.flatten(1)
    layers = [name.removesuffix("weight") for name in weights if name.endswith("weight")]
    for place, layer in enumerate(layers):
        hidden = torch.nn.functional.linear(hidden, weights[f"{layer}weight"], weights[f"{layer}bias"])
        hidden = hidden.relu() if place + 1 < len(layers) else hidden
    hidden.max(dim=1).values.sum().backward()
    assert np.allclose(x.grad.numpy(), arrays["attributions"][1], atol=1e-6)


def test_maps_that_cannot_be_say_why(lab):
    trained, task_id = lab.launch()
    train.run(task_id)
    untrained, _ = lab.launch()
    other, task_id = lab.launch(dataset={"key": "blockmnist", "params": {"data_seed": 1}})
    train.run(task_id)
    for request, words in (
        ({"runs": [trained], "indices": [1000]}, "Sample 1000 does not exist"),
        ({"runs": [trained, 999]}, "Run 999 was deleted"),
        ({"runs": [trained, other]}, "trained on different data"),
    ):
        answer, _ = _maps(lab, _ask(lab, **request))
        assert answer.status == Status.FAILED and words in answer.error, answer.error
    answer, _ = _maps(lab, _ask(lab, runs=[untrained]))
    assert answer.status == Status.FAILED and f"Run {untrained} has no checkpoint" in answer.error
    # after failures the next one works
    assert _maps(lab, _ask(lab, runs=[trained]))[0].status == Status.SUCCEEDED


def test_limit_and_panel_of_zero_and_nan_maps():
    maps = np.zeros((1, 1, 1, 4, 2), np.float32)
    assert attribute.colour_limit(maps) == 0.0
    maps[0, 0, 0, 0] = [np.nan, 2.0]
    assert 0.0 <= attribute.colour_limit(maps) <= 2.0
    assert attribute.colour_limit(np.full((1, 1, 1, 2, 2), np.inf, np.float32)) == 0.0
