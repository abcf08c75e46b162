import csv
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from densitylab.backend.reconciler import System
from densitylab.backend.services import bulk
from densitylab.backend.shared.contracts import Status

BULK = "/api/v1/bulk/runs"


def act(client: TestClient, action: str, runs: list[int], dry_run: bool = False) -> dict[str, Any]:
    answer = client.post(BULK, json={"action": action, "runs": runs, "dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    return answer.json()


def statuses(client: TestClient) -> dict[int, str]:
    items = client.get("/api/v1/runs", params={"sort": "id", "archived": False}).json()["items"]
    return {item["id"]: item["status"] for item in items}


def test_deleting_many_shows_the_bytes_first_and_leaves_what_is_at_work(client: TestClient, work: Any, system: System):
    done, busy, other = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2]})
    for run_id in (done, other):
        work.train(run_id)
        work.finish_evaluations(run_id)
    preview = act(client, "delete", [done, busy, other, 999], dry_run=True)
    assert (preview["done"], preview["refused"], preview["bytes"]) == (2, 2, 2 * len(b"weights"))
    assert [item["done"] for item in preview["outcomes"]] == [True, False, True, False]
    assert "cancel it first" in preview["outcomes"][1]["detail"]
    assert "does not exist" in preview["outcomes"][3]["detail"]
    assert len(statuses(client)) == 3 and system.store.size_tree("runs") == preview["bytes"]
    deleted = act(client, "delete", [done, busy, other, 999])
    assert {**deleted, "dry_run": True} == preview
    assert statuses(client) == {busy: "queued"} and system.store.size_tree("runs") == 0


def test_many_are_cancelled_and_tried_again(client: TestClient, work: Any, system: System):
    first, second, ended = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2]})
    work.train(ended)
    work.finish_evaluations(ended)
    assert act(client, "cancel", [first, second, ended], dry_run=True)["done"] == 2
    assert statuses(client)[first] == "queued"
    answer = act(client, "cancel", [first, second, ended, first])  # named twice, done once
    assert (answer["done"], answer["refused"], len(answer["outcomes"])) == (2, 1, 3)
    assert statuses(client) == {first: "cancelled", second: "cancelled", ended: "succeeded"}
    again = act(client, "retry", [first, ended])["outcomes"]
    assert [item["done"] for item in again] == [True, False] and "none of its tasks failed" in again[1]["detail"]
    assert statuses(client)[first] == "queued"
    task = client.get(f"/api/v1/runs/{first}").json()["task"]
    assert any(number == task for number, _ in system.queue.waiting())


def test_many_are_archived_and_back(client: TestClient, work: Any):
    members = work.launch(sweep={"seed": [0, 1]})
    act(client, "archive", members, dry_run=True)
    assert sorted(statuses(client)) == members
    act(client, "archive", members)
    assert statuses(client) == {}
    act(client, "unarchive", members[:1])
    assert sorted(statuses(client)) == members[:1]


def test_a_wrong_bulk_request_is_named(client: TestClient):
    for body, at in [
        ({"action": "explode", "runs": [1]}, "/action"),
        ({"action": "cancel", "runs": []}, "/runs"),
        ({"action": "cancel", "runs": [0]}, "/runs/0"),
        ({"action": "cancel", "runs": [1] * 501}, "/runs"),
        ({"action": "cancel"}, "/runs"),
    ]:
        answer = client.post(BULK, json=body)
        assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == at


def test_runs_come_as_csv(client: TestClient, work: Any):
    first, second = work.launch(sweep={"lambda_": [0, 0.25]})
    work.train(first)
    work.finish_evaluations(first, 0.75)
    work.end(work.start(second), Status.FAILED, 'out of "memory",\nsadly')
    client.patch(f"/api/v1/runs/{first}", json={"notes": "=1+1, λ", "tags": ["a", "b"]})
    answer = client.get("/api/v1/runs", params={"format": "csv", "sort": "lambda_", "limit": 1})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["id"], row["spec.lambda_"], row["status"]) for row in rows] == [
        (str(first), "0.0", "succeeded"),
        (str(second), "0.25", "failed"),
    ]
    assert rows[0]["results.accuracy.accuracy.value"] == "0.75" and rows[1]["results.accuracy.accuracy.value"] == ""
    assert rows[0]["notes"] == "'=1+1, λ" and rows[0]["tags"] == "a b"
    assert rows[1]["error"] == 'out of "memory",\nsadly'
    assert rows[0]["spec.regularizer.params.p_norm"] == "2"


def test_archiving_many_takes_one_transaction_per_batch(client: TestClient, work: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk, "_BATCH", 3)
    members = work.launch({"evaluations": []}, sweep={"seed": list(range(7))})
    commits: list[Any] = []
    event.listen(client.app.state.database.engine, "commit", lambda connection: commits.append(connection))  # type: ignore[attr-defined]
    answer = act(client, "archive", [members[6], 999, *members[:6]])
    assert len(commits) == 3
    assert [item["run"] for item in answer["outcomes"]] == [members[6], 999, *members[:6]]
    assert [item["done"] for item in answer["outcomes"]] == [True, False] + [True] * 6
    assert statuses(client) == {}
