import threading
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import select

from densitylab.backend.reconciler import System
from densitylab.backend.shared.catalog import DatasetEntry
from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.tables import EvaluationRow, TaskRow

LAUNCH = "/api/v1/experiments"


def test_the_default_request_launches_the_default_demo(client: TestClient, system: System):
    answer = client.post(LAUNCH, json={})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/experiments/{answer.json()['id']}"
    experiment = client.get(answer.headers["location"]).json()
    assert experiment["counts"] == {"queued": 1} and experiment["request"] == {}
    run = client.get(f"/api/v1/runs/{experiment['runs'][0]}").json()
    assert run["spec"]["dataset"] == {"key": "blockmnist", "params": {"data_seed": 0}}
    assert run["stage"] == "queued"
    assert run["provenance"]["version"] and run["provenance"]["spec_hash"]
    # The training and the preparation of its embedded data are with the broker, the evaluations wait
    assert (run["task"], 1) in system.queue.waiting()
    assert len(system.queue.waiting()) == 2
    names = [item["name"] for item in client.get(f"/api/v1/runs/{run['id']}/evaluations").json()["items"]]
    assert names == ["accuracy", "leakage", "pgd_linf"]


def test_a_sweep_makes_a_run_for_every_point(client: TestClient):
    body = {"name": "λ", "sweep": [{"lambda_": [0, 0.1], "seed": [0, 1, 2]}, {"model.key": ["cnn"]}], "tags": ["t"]}
    experiment = client.post(LAUNCH, json=body).json()
    assert len(experiment["runs"]) == 7 and experiment["request"] == body
    items = client.get("/api/v1/runs", params={"experiment": experiment["id"], "sort": "id"}).json()["items"]
    points = [(run["spec"]["lambda_"], run["spec"]["seed"], run["spec"]["model"]["key"]) for run in items]
    assert points == [
        (0, 0, "mlp"),
        (0, 1, "mlp"),
        (0, 2, "mlp"),
        (0.1, 0, "mlp"),
        (0.1, 1, "mlp"),
        (0.1, 2, "mlp"),
        (0.1, 0, "cnn"),
    ]


def test_tasks_are_seed_by_seed_and_in_the_order_of_the_evaluations(client: TestClient, system: System):
    evaluations = [{"key": "leakage"}, {"key": "pgd_linf"}]
    body = {"spec": {"evaluations": evaluations}, "sweep": {"lambda_": [0, 0.1], "seed": [0, 1, 2]}}
    members = client.post(LAUNCH, json=body).json()["runs"]
    with system.database.read() as session:
        trainings = session.scalars(select(TaskRow).where(TaskRow.kind == "train").order_by(TaskRow.id)).all()
        rows = session.execute(
            select(EvaluationRow.run_id, EvaluationRow.name, TaskRow)
            .join(TaskRow, TaskRow.id == EvaluationRow.task_id)
            .order_by(TaskRow.id)
        ).all()
    queued = [members[place] for place in (0, 3, 1, 4, 2, 5)]
    assert [task.run_id for task in trainings] == queued
    waits_for = {task.run_id: task.id for task in trainings}
    assert [(run, name) for run, name, _ in rows] == [
        (run, name) for run in queued for name in ("accuracy", "leakage", "pgd_linf")
    ]
    assert all(task.run_id == run and task.after_task == waits_for[run] for run, _, task in rows)


def test_the_same_key_and_body_give_the_first_answer(client: TestClient):
    first = client.post(LAUNCH, json={"name": "a"}, headers={"Idempotency-Key": "k-1"})
    again = client.post(LAUNCH, json={"name": "a"}, headers={"Idempotency-Key": "k-1"})
    assert again.status_code == 202 and again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    other = client.post(LAUNCH, json={"name": "b"}, headers={"Idempotency-Key": "k-1"})
    assert other.status_code == 409
    assert other.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    new = client.post(LAUNCH, json={"name": "a"}, headers={"Idempotency-Key": "k-2"})
    assert new.json()["id"] != first.json()["id"]
    assert len(client.get(LAUNCH).json()["items"]) == 2


def test_a_key_used_by_eight_at_once_launches_once(client: TestClient):
    ids, barrier = [], threading.Barrier(8)

    def launch() -> None:
        barrier.wait()
        answer = client.post(LAUNCH, json={"sweep": {"seed": [0, 1]}}, headers={"Idempotency-Key": "same"})
        ids.append((answer.status_code, answer.json()["id"]))

    threads = [threading.Thread(target=launch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1 and ids[0][0] == 202
    assert len(client.get("/api/v1/runs").json()["items"]) == 2


def test_a_launch_never_downloads(client: TestClient):
    remote = DatasetEntry(
        "remote",
        "Remote",
        "A data set to download.",
        "densitylab.worker.datasets.remote:load",
        num_classes=2,
        channels=1,
        image_size=(8, 8),
    )
    client.app.state.catalog = client.app.state.catalog.with_entries([remote])
    answer = client.post(LAUNCH, json={"spec": {"dataset": {"key": "remote"}, "evaluations": []}})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["link"] == '</api/v1/datasets/remote/prepare>; rel="prepare"'
    assert answer.json()["errors"][0]["pointer"] == "/spec/dataset/key"
    assert "POST /api/v1/datasets/remote/prepare" in answer.json()["detail"]
    assert client.get(LAUNCH).json()["items"] == []
    prepare = client.post("/api/v1/datasets/remote/prepare")
    assert prepare.status_code == 202 and prepare.json()["kind"] == "prepare"


def test_pages_go_through_all_experiments(client: TestClient):
    made = [client.post(LAUNCH, json={"name": f"e{number}"}).json()["id"] for number in range(5)]
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = client.get(LAUNCH, params=query).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    assert [item["name"] for item in client.get(LAUNCH, params={"q": "E3"}).json()["items"]] == ["e3"]


def test_experiments_with_a_model(client: TestClient, work: Any):
    waiting, trained, cancelled = (work.launch(sweep={"seed": [0, 1]}) for _ in range(3))
    work.train(trained[1])
    for run in cancelled:
        client.post(f"/api/v1/runs/{run}/cancel").raise_for_status()

    def listed(**query: Any) -> list[int]:
        items = client.get(LAUNCH, params=query).raise_for_status().json()["items"]
        return [run for item in items for run in item["runs"]]

    assert listed(has_model=True) == trained
    assert listed(has_model=False) == [*cancelled, *waiting]
    assert listed() == [*cancelled, *trained, *waiting]
    client.patch(f"/api/v1/runs/{trained[1]}", json={"archived": True}).raise_for_status()
    assert listed(has_model=True) == []


def test_an_experiment_is_renamed_and_archived(client: TestClient):
    number = client.post(LAUNCH, json={"name": "a"}).json()["id"]
    changed = client.patch(f"{LAUNCH}/{number}", json={"name": "b", "notes": "n", "tags": ["x"], "archived": True})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["archived"], changed.json()["tags"]) == ("b", True, ["x"])
    assert client.get(LAUNCH).json()["items"] == []
    assert len(client.get(LAUNCH, params={"archived": True}).json()["items"]) == 1
    assert client.patch(f"{LAUNCH}/{number}", json={"request": {}}).status_code == 422


def test_deleting_an_experiment_takes_runs_and_files(client: TestClient, work: Any, system: System):
    members = work.launch(sweep={"seed": [0, 1]})
    number = client.get(LAUNCH).json()["items"][0]["id"]
    refused = client.delete(f"{LAUNCH}/{number}")
    assert refused.status_code == 409 and f"run {members[0]}" in refused.json()["detail"]
    for run_id in members:
        work.train(run_id)
        work.finish_evaluations(run_id)
    deleted = client.delete(f"{LAUNCH}/{number}")
    assert deleted.status_code == 200 and deleted.json() == {"bytes": 2 * len(b"weights")}
    assert client.get(f"{LAUNCH}/{number}").status_code == 404
    assert client.get(f"/api/v1/runs/{members[0]}").status_code == 404
    assert system.store.size_tree("runs") == 0


def test_the_queue_of_each_kind_is_the_one_its_workers_serve(client: TestClient, system: System):
    client.post(LAUNCH, json={})
    lengths = {name: system.queue._queues[name].count for name in QueueName}
    assert {name: count for name, count in lengths.items() if count} == {QueueName.TRAIN: 1, QueueName.PREPARE: 1}
