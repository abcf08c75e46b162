from typing import Any

import pytest
from fastapi.testclient import TestClient
from rq import SimpleWorker
from sqlalchemy import text

from densitylab.backend.ops import devices
from densitylab.backend.reconciler import System
from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared.catalog import DatasetEntry
from densitylab.backend.shared.contracts import TRAINING_QUEUES, Status
from densitylab.backend.shared.store import datasets, runs
from densitylab.backend.shared.tables import RunRow, TaskRow

LAUNCH = "/api/v1/experiments"


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(LAUNCH, params={"dry_run": True}, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish_at(work: Any, system: System, run_id: int, throughput: float) -> None:
    work.train(run_id)
    with system.database.write() as session:
        runs.set_metrics(session, run_id, {"throughput": throughput})


def test_a_dry_run_tells_the_price_and_stores_nothing(client: TestClient, system: System):
    told = asked(client, sweep={"lambda_": [0, 0.1], "epochs": [1, 2]}, spec={"train_samples": 250, "batch_size": 100})
    assert (told["runs"], told["steps"], told["steps_per_run"]) == (4, 18, [3, 6, 3, 6])
    assert told["basis"] == "calibrated" and "estimated" in told["basis_text"]
    plain, longer, penalised, _ = told["seconds_per_run"]
    assert longer == pytest.approx(2 * plain)
    of_parameters = 2.5 * 1_071_114 * cost_model.PARAMETER_SECONDS  # two steps and a half
    assert penalised - of_parameters == pytest.approx(2 * (plain - of_parameters))  # 6 passes instead of 3
    assert told["seconds"] == pytest.approx(sum(told["seconds_per_run"]))
    assert told["data"] == [{"key": "blockmnist", "params": {"data_seed": 0}, "status": "embedded", "prepare": None}]
    assert told["launchable"] is True and told["workers"] == 0 and told["broker"] == "ok"
    assert client.get(LAUNCH).json()["items"] == []
    with system.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM tasks")).scalar() == 0


def test_time_comes_from_finished_runs_of_the_same_kind(client: TestClient, work: Any, system: System):
    first, second, other, failed = work.launch(sweep=[{"seed": [0, 1]}, {"model.params.hidden": [64]}, {"seed": [9]}])
    for run_id, rate in ((first, 1000.0), (second, 3000.0), (other, 9.0)):
        finish_at(work, system, run_id, rate)
    work.end(work.start(failed), Status.FAILED, "e")
    told = asked(client, spec={"epochs": 10, "seed": 5})
    assert told["basis"] == "measured" and told["seconds"] == pytest.approx(10 * 3600 / 2000)
    assert asked(client, spec={"device": "cpu"})["basis"] == "measured"
    assert asked(client, spec={"device": "cuda"})["basis"] == "unknown"
    assert asked(client, spec={"device": "cuda"})["seconds"] is None
    assert asked(client, spec={"lambda_": 0})["basis"] == "calibrated"  # its penalty is spared
    assert asked(client, spec={"precision": "bfloat16"})["basis"] == "unknown"
    assert asked(client, spec={"lambda_": 0, "compile": True})["basis"] == "calibrated"
    assert "early stop" in asked(client, spec={"early_stop": {"patience": 2}})["basis_text"]
    assert "early stop" not in asked(client)["basis_text"]
    assert asked(client, sweep={"lambda_": [0, 0.1]})["basis"] == "mixed"


def test_the_time_of_evaluations_is_that_of_finished_ones(client: TestClient, work: Any, system: System):
    leakage, more = {"key": "leakage"}, {"key": "leakage", "params": {"samples": 77}}
    (run,) = work.launch({"evaluations": [leakage]})
    work.train(run)
    estimated = asked(client, spec={"evaluations": [leakage]})  # none has ended yet
    assert estimated["evaluation_basis"] == "calibrated" and 0.02 < estimated["evaluation_seconds"] < 1
    work.finish_evaluations(run)
    with system.database.write() as session:
        session.execute(text("UPDATE evaluations SET seconds = 5 WHERE key = 'leakage'"))
    measured = asked(client, spec={"evaluations": [leakage]})
    assert measured["evaluation_seconds"] == 5.1 and measured["evaluation_basis"] == "measured"  # with the accuracy
    sweep = {"lambda_": [0, 0.1, 1], "seed": [7]}  # another regularizer or seed takes as long
    assert asked(client, spec={"evaluations": [leakage]}, sweep=sweep)["evaluation_seconds"] == pytest.approx(3 * 5.1)
    for spec in (
        {"evaluations": [more]},
        {"evaluations": [leakage, {"key": "pgd_linf"}]},
        {"evaluations": [leakage], "model": {"key": "mlp", "params": {"hidden": 64}}},
        {"evaluations": [leakage], "dataset": {"key": "blockmnist", "params": {"data_seed": 1}}},
    ):
        assert asked(client, spec=spec)["evaluation_basis"] == "calibrated"
    attacked = {"evaluations": [leakage, {"key": "pgd_linf"}]}
    assert asked(client, spec=attacked)["evaluation_seconds"] > 5.1 + 1  # 160 passes for each of 1,000 images
    unseen = {"evaluations": [{**leakage, "split": "validation", "name": "leakage_validation"}]}
    assert asked(client, spec=unseen)["evaluation_seconds"] is None  # how many there are is known once prepared
    assert asked(client, spec={**attacked, "device": "cuda"})["evaluation_basis"] == "unknown"


def test_measured_is_the_time_of_runs_of_the_same_batch_size_alone(client: TestClient, work: Any, system: System):
    hundred, ten = work.launch(sweep={"batch_size": [100, 10]})
    finish_at(work, system, hundred, 5000.0)
    one = asked(client, spec={"batch_size": 1})
    assert one["basis"] == "calibrated" and "runs of other batch sizes" in one["basis_text"]
    # A step of one image takes at least a fifth of a step of a hundred, since each updates all weights
    assert one["seconds"] > 100 / 5 * asked(client)["seconds"]
    finish_at(work, system, ten, 700.0)
    assert asked(client, spec={"batch_size": 10})["basis"] == "measured"
    assert asked(client, spec={"batch_size": 10, "epochs": 7})["seconds"] == pytest.approx(7 * 3600 / 700)
    assert asked(client, sweep={"batch_size": [10, 100, 1]})["basis"] == "mixed"
    assert "batch size" in asked(client)["basis_text"]


def test_a_batch_is_at_most_the_training_images(client: TestClient, work: Any, system: System):
    (few,) = work.launch({"train_samples": 50})
    finish_at(work, system, few, 1000.0)
    assert asked(client, spec={"train_samples": 50, "batch_size": 64})["basis"] == "measured"
    assert asked(client, spec={"batch_size": 50})["basis"] == "measured"
    assert asked(client)["basis"] == "calibrated"


def test_without_a_model_of_its_cost_a_batch_size_lies_on_the_line_of_others(
    client: TestClient, work: Any, system: System
):
    spec = {"precision": "bfloat16"}
    first, second = work.launch(spec, {"batch_size": [100, 50]})
    finish_at(work, system, first, 100 / 0.3)  # 0.1 s and 2 ms for each image
    assert asked(client, spec={**spec, "batch_size": 10})["basis"] == "unknown"
    finish_at(work, system, second, 50 / 0.2)
    told = asked(client, spec={**spec, "batch_size": 10, "epochs": 1})
    assert told["basis"] == "calibrated" and told["seconds"] == pytest.approx(3600 / 10 * 0.12)


def test_the_estimate_has_a_part_for_every_step(client: TestClient):
    seconds = {size: asked(client, spec={"batch_size": size})["seconds"] for size in (1, 10, 100, 1000)}
    assert seconds[1] > 5 * seconds[10] > 10 * seconds[100] > 10 * seconds[1000]


def test_memory_grows_with_batch_and_second_backward(client: TestClient):
    model = {"key": "cnn"}
    plain = asked(client, spec={"model": model, "lambda_": 0})["memory_bytes"]
    double = asked(client, spec={"model": model})
    larger = asked(client, spec={"model": model, "batch_size": 1000})
    assert plain < double["memory_bytes"] < larger["memory_bytes"]
    assert "activations" in double["memory_formula"]
    mlp = asked(client, spec={"lambda_": 0})["memory_bytes"]
    assert mlp == 4 * (4 * 1_071_114 + 100 * (1568 + 2 * 512) * 1.5)
    kept = asked(client, spec={"lambda_": 0, "ema_decay": 0.99, "early_stop": {"patience": 2}})["memory_bytes"]
    assert kept == mlp + 4 * 2 * 1_071_114
    assert asked(client, spec={"model": {"key": "timm"}})["memory_bytes"] is None


def test_data_of_evaluations_are_needed_too(client: TestClient, work: Any):
    work.prepare()
    against = {"key": "fashion_mnist", "params": {}}
    request = {"spec": {"evaluations": [{"key": "ood", "params": {"against": against, "resize": "bilinear"}}]}}
    told = client.post("/api/v1/experiments/preflight", json=request).json()
    assert [(item["key"], item["status"]) for item in told["data"]] == [
        ("blockmnist", "ready"),
        ("fashion_mnist", "absent"),
    ]
    assert told["launchable"] is False and client.post("/api/v1/experiments", json=request).status_code == 409


def test_data_that_is_absent_comes_with_the_link(client: TestClient, work: Any):
    work.prepare()
    assert asked(client)["data"][0]["status"] == "ready"
    remote = DatasetEntry(
        "remote",
        "Remote",
        "To download.",
        "densitylab.worker.datasets.remote:load",
        num_classes=2,
        channels=1,
        image_size=(8, 8),
        train_size=100,
    )
    client.app.state.catalog = client.app.state.catalog.with_entries([remote])
    told = asked(client, spec={"dataset": {"key": "remote"}, "evaluations": []})
    assert told["launchable"] is False
    assert told["data"] == [
        {"key": "remote", "params": {}, "status": "absent", "prepare": "/api/v1/datasets/remote/prepare"}
    ]


def test_a_wrong_spec_is_named_as_at_a_launch(client: TestClient):
    body = {"spec": {"epochs": 0}, "sweep": {"lambda_": [0, -1]}}
    refused = client.post(LAUNCH, params={"dry_run": True}, json=body)
    assert refused.status_code == 422 and refused.json() == client.post(LAUNCH, json=body).json()


def test_an_experiment_tells_when_it_will_be_done(client: TestClient, work: Any, system: System):
    first, second, third = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2]})

    def eta() -> float | None:
        return client.get(LAUNCH).json()["items"][0]["eta_seconds"]

    assert eta() is None  # nothing is known yet
    held = work.start(first)
    assert eta() is None
    with system.database.write() as session:
        row = session.get_one(TaskRow, held.task_id)
        row.eta_seconds, row.progress, row.started_at = 60.0, 0.4, (row.started_at or 0) - 40
    assert eta() == pytest.approx(60 + 2 * 100, abs=5)  # it will have taken 100 s, and two are to come
    work.end(held)
    with system.database.write() as session:
        row = session.get_one(TaskRow, held.task_id)
        row.finished_at = (row.started_at or 0) + 50
    assert eta() == pytest.approx(2 * 50, abs=1)
    for run_id in (second, third):
        work.end(work.start(run_id))
    assert eta() is None


def test_a_dry_run_says_what_the_algorithm_does(client: TestClient):
    twice = {"algorithm": {"key": "jtt", "params": {"first_epochs": 2, "upweight": 50}}, "epochs": 6}
    (note,) = asked(client, spec=twice, sweep={"seed": [0, 1]})["notes"]
    assert "after 2 of 6 epochs" in note and "draws them 50 times as often" in note
    assert asked(client)["notes"] == []


def test_a_dry_run_says_that_validation_images_are_biased(client: TestClient, system: System):
    counts = {"train": [95, 5], "validation": [19, 1], "test": [50, 50]}
    with system.database.write() as session:
        datasets.set_ready(
            session,
            "textured_digits",
            {"data_seed": 0, "correlation": 0.95},
            size=1,
            data_hash="ab",
            sizes={},
            class_counts={},
            group_counts=counts,
            samples_location="x.npz",
        )
    bias, few = asked(client, spec={"dataset": {"key": "textured_digits"}})["notes"]
    assert "have the same bias as the training images: group 1 is 5.0% of them" in bias
    assert few.startswith("The smallest group has 50 test images: the worst group's accuracy of a run is known to ±13 ")


def test_a_dry_run_warns_at_the_field_and_explains_the_options(client: TestClient):
    spec = {
        "dataset": {"key": "waterbirds"},
        "model": {"key": "resnet18", "params": {"pretrained": True, "pooling": "max"}},
        "gradient_accumulation": 4,
        "evaluations": [],
    }
    told = asked(client, spec=spec)
    (caution,) = told["cautions"]
    assert caution["pointer"] == "/spec/dataset/params/image_size"
    assert caution["remedy"] == {"dataset.params.image_size": 96}
    assert any("4 parts of at most 25" in note for note in told["notes"])
    whole = asked(client, spec={**spec, "gradient_accumulation": 1})
    assert told["memory_bytes"] < whole["memory_bytes"]
    swept = asked(client, spec=spec, sweep={"dataset.params.image_size": [96, 64]})
    assert [caution["pointer"] for caution in swept["cautions"]] == ["/sweep/dataset.params.image_size/1"]


def test_a_run_of_other_threads_gives_no_time(client: TestClient, work: Any, system: System):
    (slow,) = work.launch()
    finish_at(work, system, slow, 1000.0)
    with system.database.write() as session:
        row = session.get_one(RunRow, slow)
        row.device, row.provenance = "cpu (x86_64, 2 threads)", {**row.provenance, "threads": 2}
    assert asked(client)["basis"] == "calibrated"  # by the rule its network has one thread
    assert asked(client, spec={"threads": 2})["basis"] == "measured"


def test_workers_train_side_by_side_and_share_the_cores(
    client: TestClient, system: System, rq_queues: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(devices, "cores", lambda: 2)
    large = {"model": {"key": "vgg11"}, "lambda_": 0, "evaluations": []}
    alone = asked(client, spec=large)
    (seconds,) = alone["seconds_per_run"]
    assert "estimated for 2 CPU threads per run" in alone["basis_text"]
    (of_one,) = asked(client, spec={**large, "threads": 1})["seconds_per_run"]
    assert 1.8 * seconds < of_one < 2 * seconds
    assert "1 CPU thread per run" in asked(client, spec={**large, "threads": 1})["basis_text"]
    queues = rq_queues(TRAINING_QUEUES)
    for name in ("a", "b"):
        SimpleWorker(queues, connection=queues[0].connection, name=name, worker_ttl=30).register_birth()
    three = asked(client, spec=large, sweep={"seed": [0, 1, 2]})
    assert three["workers"] == 2
    assert three["seconds_per_run"] == pytest.approx([of_one] * 3)  # two runs of two threads share two cores
    assert three["seconds"] == pytest.approx(2 * of_one)
    longest_last = asked(client, spec={**large, "threads": 1}, sweep={"epochs": [10, 20, 30]})
    (first, _, third) = longest_last["seconds_per_run"]
    assert longest_last["seconds"] == pytest.approx(first + third)


def test_the_time_left_begins_with_the_price(client: TestClient, system: System, rq_queues: Any):
    queues = rq_queues(TRAINING_QUEUES)
    for name in ("a", "b"):
        SimpleWorker(queues, connection=queues[0].connection, name=name, worker_ttl=30).register_birth()
    body = {"name": "priced", "sweep": {"lambda_": [0, 0.1, 1], "seed": [0, 1]}}
    price = asked(client, **body)
    launched = client.post(LAUNCH, json=body).json()
    assert (launched["untimed_evaluations"], launched["eta_workers"], launched["workers"]) == (0, 2, [])
    in_all = price["seconds"] + price["evaluation_seconds"]
    longest = max(price["seconds_per_run"])  # the evaluations begin on the worker that has trained its last run
    assert in_all - longest < launched["eta_seconds"] <= in_all + 1e-6
    added = client.post(f"{LAUNCH}/{launched['id']}/runs", json={"seeds": [2]}).json()["experiment"]
    assert added["untimed_evaluations"] == 0 and added["eta_seconds"] > 1.3 * launched["eta_seconds"]


def test_runs_of_the_last_hour_tell_how_fast_the_machine_is_now(client: TestClient, work: Any, system: System):
    idle, busy = work.launch(sweep={"seed": [0, 1]})
    finish_at(work, system, idle, 4000.0)
    finish_at(work, system, busy, 900.0)

    def seconds(**spec: Any) -> float:
        return asked(client, spec={"epochs": 10, **spec})["seconds"]

    assert seconds() == pytest.approx(10 * 3600 / 2450)  # both are of this hour
    with system.database.write() as session:
        session.execute(text("UPDATE tasks SET finished_at = finished_at - 3700 WHERE run_id = :run"), {"run": idle})
    assert seconds() == pytest.approx(10 * 3600 / 900)
    slowed = seconds(lambda_=0)  # which has not run yet
    with system.database.write() as session:
        session.execute(text("UPDATE tasks SET finished_at = finished_at - 3700"))
    assert seconds() == pytest.approx(10 * 3600 / 2450)
    estimated = seconds(lambda_=0)
    of_idle = asked(client, spec={"lambda_": 0})
    assert "on an idle machine" in of_idle["basis_text"]
    # By the cost model a step of the run that was slow takes less than it took
    assert slowed / estimated == pytest.approx(seconds(seed=5) * 2450 / 900 / estimated_weighted(client), rel=0.01)


def estimated_weighted(client: TestClient) -> float:
    """Return what the cost model alone estimates for a weighted run: of one whose like has not run."""
    return asked(client, spec={"epochs": 10, "dataset": {"key": "blockmnist", "params": {"data_seed": 1}}})["seconds"]
