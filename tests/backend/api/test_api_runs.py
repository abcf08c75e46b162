import base64
import csv
import hashlib
import json
import unicodedata
from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import logs, metrics, run_artifacts, runs, tasks
from densitylab.backend.shared.store.metrics import Point


def every_page(client: TestClient, **query: Any) -> list[int]:
    """Return the run ids of all pages of two."""
    seen: list[int] = []
    while True:
        page = client.get("/api/v1/runs", params={"limit": 2, **query}).json()
        seen += [run["id"] for run in page["items"]]
        if page["next_cursor"] is None:
            return seen
        query["cursor"] = page["next_cursor"]


def test_pages_sorted_by_a_result_show_every_run_once_and_those_without_last(client: TestClient, work: Any):
    members = work.launch(sweep={"seed": list(range(7))})
    accuracy = dict(zip(members, [0.5, None, 0.9, 0.5, None, 0.1, 0.5], strict=True))
    for run_id, value in accuracy.items():
        if value is not None:
            work.train(run_id)
            work.finish_evaluations(run_id, value)
    up = every_page(client, sort="results.accuracy.accuracy")
    down = every_page(client, sort="-results.accuracy.accuracy")
    assert up == [members[i] for i in (5, 0, 3, 6, 2, 1, 4)]
    assert down == [members[i] for i in (2, 6, 3, 0, 5, 4, 1)]


@pytest.mark.parametrize(
    "sort",
    [
        "id",
        "-id",
        "created_at",
        "-created_at",
        "status",
        "-progress",
        "lambda_",
        "-lambda_",
        "metrics.loss",
        "-results.nothing.here",
    ],
)
def test_pages_of_every_order_show_every_run_once(client: TestClient, work: Any, sort: str):
    members = work.launch(sweep={"lambda_": [0, 0.1, 1e-7], "seed": [0, 1]})
    work.train(members[2])
    assert sorted(every_page(client, sort=sort)) == members


def test_runs_are_filtered(client: TestClient, work: Any):
    first, second = work.launch(sweep={"model.key": ["mlp", "cnn"]})
    (third,) = work.launch({"regularizer": {"key": "none"}})
    work.train(third)
    client.patch(f"/api/v1/runs/{first}", json={"tags": ["good"], "notes": "100% sure_"})

    def listed(**query: Any) -> list[int]:
        answer = client.get("/api/v1/runs", params={"sort": "id", **query})
        assert answer.status_code == 200
        return [run["id"] for run in answer.json()["items"]]

    assert listed(model="cnn") == [second]
    assert listed(regularizer="none") == [third]
    assert listed(status="queued") == [first, second]
    assert listed(status="succeeded") == [third]
    assert listed(tag="good") == [first] and listed(tag="goo") == []
    assert listed(q="100%") == [first] and listed(q="sure_") == [first] and listed(q="0_") == []
    assert listed(experiment=2) == [third]
    assert listed(dataset="nothing") == []
    client.patch(f"/api/v1/runs/{first}", json={"archived": True})
    assert listed() == [second, third] and listed(archived=True) == [first]


def test_a_run_gets_a_name_is_found_by_it_and_loses_it(client: TestClient, work: Any):
    first, second = work.launch(sweep={"seed": [0, 1]})
    path = f"/api/v1/runs/{first}"

    def listed(**query: Any) -> list[int]:
        return [run["id"] for run in client.get("/api/v1/runs", params=query).raise_for_status().json()["items"]]

    assert client.get(path).json()["name"] is None
    assert client.patch(path, json={"name": " Größte Stärke, λ = 1 "}).json()["name"] == "Größte Stärke, λ = 1"
    assert client.patch(path, json={"notes": "n"}).json()["name"] == "Größte Stärke, λ = 1"
    assert listed(q="GRÖSSTE") == [first] and listed(name="Größte Stärke, λ = 1") == [first]
    assert listed(name=unicodedata.normalize("NFD", "Größte Stärke, λ = 1")) == [first]
    assert listed(name="Größte") == [] and listed(name=["Größte", "Größte Stärke, λ = 1"]) == [first]
    assert client.get("/api/v1/runs", params={"ids": [second]}).json()["items"][0]["name"] is None
    header, *rows = csv.reader(client.get("/api/v1/runs.csv", params={"sort": "id"}).text.splitlines())
    assert [row[header.index("name")] for row in rows] == ["Größte Stärke, λ = 1", ""]
    for empty in ("", "   "):
        client.patch(path, json={"name": "again"})
        assert client.patch(path, json={"name": empty}).json()["name"] is None
        assert listed(q="again") == [] and listed(name="") == []


@pytest.mark.parametrize(
    "name", ["x" * 101, "a\0b", "a\ud83d", 7, "a\nb", "a\x1b[31mb", "\u200b", "\u202ea", "\u0958" * 100]
)
def test_a_wrong_name_of_a_run_is_refused(client: TestClient, work: Any, name: Any):
    (run_id,) = work.launch()
    headers = {"Content-Type": "application/json"}
    answer = client.patch(f"/api/v1/runs/{run_id}", content=json.dumps({"name": name}), headers=headers)
    assert answer.status_code == 422 and [item["pointer"] for item in answer.json()["errors"]] == ["/name"]
    if isinstance(name, str) and "\ud83d" not in name:
        assert client.get("/api/v1/runs", params={"name": name}).status_code == 422
    assert client.get(f"/api/v1/runs/{run_id}").json()["name"] is None


def test_curves_are_given_thinned_and_from_a_step_on(client: TestClient, work: Any, database: Database):
    first, second = work.launch(sweep={"seed": [0, 1]})
    for run_id in (first, second):
        with database.write() as session:
            metrics.append(
                session,
                run_id,
                [
                    Point(name, step, step / 100, step * run_id, 0.1 * step)
                    for name in ("loss", "penalty")
                    for step in range(1, 1001)
                ],
            )
    every = client.get(f"/api/v1/runs/{first}/metrics").json()["items"]
    assert [(series["name"], len(series["points"]), series["total"]) for series in every] == [
        ("loss", 1000, 1000),
        ("penalty", 1000, 1000),
    ]
    (loss,) = client.get(f"/api/v1/runs/{first}/metrics", params={"names": "loss", "since": 998}).json()["items"]
    assert [point["step"] for point in loss["points"]] == [999, 1000]
    assert loss["points"][0] == {"step": 999, "epoch": 9.99, "value": 999.0 * first, "seconds": 0.1 * 999}
    thinned = client.get("/api/v1/metrics", params={"run": [first, second], "names": ["loss"], "max_points": 50}).json()
    assert [series["run"] for series in thinned["items"]] == [first, second]
    for series in thinned["items"]:
        assert len(series["points"]) <= 51 and series["total"] == 1000
        assert [series["points"][0]["step"], series["points"][-1]["step"]] == [1, 1000]


def test_the_latest_value_of_each_curve_is_told(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch()
    with database.write() as session:
        runs.set_metrics(session, run_id, {"loss": 1.5})
    assert client.get(f"/api/v1/runs/{run_id}").json()["metrics"] == {"loss": 1.5}


def test_the_log_is_read_followed_searched_and_downloaded(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch()
    with database.write() as session:
        logs.append(session, run_id, [(1000.0 + n, "info", f"line {n}") for n in range(5)])
        logs.append(session, run_id, [(1010.0, "error", "bad \x00 \ud83d end")])
    path = f"/api/v1/runs/{run_id}/log"
    last = client.get(path, params={"limit": 2}).json()["items"]
    assert [line["text"] for line in last] == ["line 4", "bad  ? end"]
    after = client.get(path, params={"after": last[0]["id"]}).json()["items"]
    assert [line["id"] for line in after] == [last[1]["id"]]
    assert [line["text"] for line in client.get(path, params={"q": "LINE 3"}).json()["items"]] == ["line 3"]
    text = client.get(path, params={"format": "text"})
    assert text.headers["content-type"].startswith("text/plain") and "attachment" in text.headers["content-disposition"]
    assert text.text.splitlines()[0] == "1970-01-01T00:16:40.000+00:00 info line 0"
    assert len(text.text.splitlines()) == 6


def test_artifacts_are_listed_and_downloaded_by_their_rows_alone(client: TestClient, work: Any):
    (run_id,) = work.launch()
    work.train(run_id)
    path = f"/api/v1/runs/{run_id}/artifacts"
    (item,) = client.get(path).json()["items"]
    assert (item["name"], item["bytes"], item["step"]) == ("checkpoint.pt", 7, 540)
    download = client.get(f"{path}/checkpoint.pt")
    assert download.content == b"weights" and download.headers["content-type"] == "application/octet-stream"
    for name in ("1-540.pt", "checkpoints", "%2e%2e%2fx", "checkpoint.pt%00"):
        assert client.get(f"{path}/{name}").status_code in (404, 422)


def test_a_damaged_checkpoint_is_not_sent(client: TestClient, work: Any):
    (run_id,) = work.launch()
    held = work.start(run_id)
    location = checked_location(f"runs/{run_id}/checkpoints/1-540.pt", b"weights")
    with work.system.database.write() as session:
        run_artifacts.move_checkpoint(session, run_id, location=location, size=7, step=540)
        tasks.finish(session, held, Status.SUCCEEDED)
    path = f"/api/v1/runs/{run_id}/artifacts/checkpoint.pt"
    work.system.store.write(location, b"weights")
    digest = base64.b64encode(hashlib.sha256(b"weights").digest()).decode()
    assert client.get(path).headers["Repr-Digest"] == f"sha-256=:{digest}:"
    work.system.store.write(location, b"weightz")
    refused = client.get(path)
    assert refused.status_code == 409
    assert refused.json()["detail"] == (
        f"the stored file checkpoint.pt of run {run_id} is damaged: launch the run again"
    )


def test_a_run_is_cancelled_with_what_waits_for_it_and_retried(client: TestClient, work: Any):
    (run_id,) = work.launch()
    cancelled = client.post(f"/api/v1/runs/{run_id}/cancel")
    assert cancelled.status_code == 202 and cancelled.json()["status"] == "cancelled"
    evaluations = f"/api/v1/runs/{run_id}/evaluations"
    assert {item["status"] for item in client.get(evaluations).json()["items"]} == {"cancelled"}
    refused = client.post(f"/api/v1/runs/{run_id}/cancel")
    assert refused.status_code == 409 and f"run {run_id} has ended" in refused.json()["detail"]
    retried = client.post(f"/api/v1/runs/{run_id}/retry")
    assert retried.status_code == 202 and retried.json()["status"] == "queued"
    assert {item["status"] for item in client.get(evaluations).json()["items"]} == {"queued"}
    again = client.post(f"/api/v1/runs/{run_id}/retry")
    assert again.status_code == 409 and f"run {run_id}" in again.json()["detail"]


def test_a_running_run_is_asked_to_stop(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch()
    held = work.start(run_id)
    answer = client.post(f"/api/v1/runs/{run_id}/cancel").json()
    assert (answer["status"], answer["stage"]) == ("running", "stopping")
    with database.write() as session:
        assert tasks.renew(session, held, lease_seconds=15) is True
    work.end(held, Status.CANCELLED)
    assert client.get(f"/api/v1/runs/{run_id}").json()["status"] == "cancelled"


def test_retry_of_a_trained_run_takes_its_failed_measures_again(client: TestClient, work: Any):
    (run_id,) = work.launch()
    work.train(run_id)
    path = f"/api/v1/runs/{run_id}/evaluations"
    failing = client.get(path).json()["items"][0]
    work.end(work.claim(failing["task"]), Status.FAILED, "out of memory")
    assert client.get(path).json()["items"][0]["error"] == "out of memory"
    assert client.post(f"/api/v1/runs/{run_id}/retry").json()["status"] == "succeeded"
    assert client.get(path).json()["items"][0]["status"] == "queued"


def test_a_run_at_work_is_not_deleted_one_that_ended_is(client: TestClient, work: Any):
    (run_id,) = work.launch()
    held = work.start(run_id)
    work.checkpoint(held)
    refused = client.delete(f"/api/v1/runs/{run_id}")
    assert refused.status_code == 409 and f"run {run_id}" in refused.json()["detail"]
    work.end(held, Status.FAILED, "x")
    assert client.delete(f"/api/v1/runs/{run_id}").json() == {"bytes": 7}
    assert client.get(f"/api/v1/runs/{run_id}").status_code == 404
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 404


def test_a_cancelled_run_with_a_checkpoint_can_be_measured(client: TestClient, work: Any):
    (run_id,) = work.launch()
    held = work.start(run_id)
    work.checkpoint(held)
    work.end(held, Status.CANCELLED)
    added = client.post(f"/api/v1/runs/{run_id}/evaluations", json={"key": "pgd_l2"})
    assert added.status_code == 202
    assert client.get(added.headers["location"]).json()["stage"] == "queued"  # delivered, not waiting for training


def test_a_run_tells_its_measures_those_that_were_added_too(client: TestClient, work: Any):
    (run_id,) = work.launch({"evaluations": [{"key": "pgd_linf", "name": "weak", "params": {"steps": 2}}]})
    work.train(run_id)
    added = client.post(f"/api/v1/runs/{run_id}/evaluations", json={"key": "pgd_linf", "params": {"steps": 3}})
    assert added.status_code == 202
    told = client.get(f"/api/v1/runs/{run_id}").json()
    assert {item["name"]: (item["key"], item["params"].get("steps")) for item in told["evaluations"]} == {
        "accuracy": ("accuracy", None),
        "weak": ("pgd_linf", 2),
        "pgd_linf": ("pgd_linf", 3),
    }
    assert "pgd_linf" not in [item["name"] for item in told["spec"]["evaluations"]]  # the spec stays as launched


def test_the_id_of_a_deleted_run_never_means_another(client: TestClient, work: Any):
    (run_id,) = work.launch()
    client.post(f"/api/v1/runs/{run_id}/cancel")
    client.delete(f"/api/v1/experiments/{client.get(f'/api/v1/runs/{run_id}').json()['experiment']}")
    (later,) = work.launch()
    assert later > run_id and client.get(f"/api/v1/runs/{run_id}").status_code == 404


@pytest.mark.parametrize("tag", ["größe", "基线", "базовый", "أساس", "आधार", "Ω1.2:3", "naïve-é", "123"])
def test_tags_are_of_any_language_and_found_again(client: TestClient, work: Any, tag: str):
    first, second = work.launch(sweep={"seed": [0, 1]})
    decomposed = unicodedata.normalize("NFD", tag)
    changed = client.patch(f"/api/v1/runs/{first}", json={"tags": [decomposed]})
    assert changed.status_code == 200, changed.text
    tag = unicodedata.normalize("NFC", tag)
    assert changed.json()["tags"] == [tag]
    client.patch(f"/api/v1/runs/{second}", json={"tags": [f"{tag}b"]})
    for query in ({"tag": tag}, {"tag": decomposed}):
        assert [run["id"] for run in client.get("/api/v1/runs", params=query).json()["items"]] == [first]
    found = client.get("/api/v1/runs", params={"q": tag}).json()["items"]
    assert {run["id"] for run in found} == {first, second}
    client.patch("/api/v1/experiments/1", json={"tags": [tag]})
    assert len(client.get("/api/v1/experiments", params={"q": tag}).json()["items"]) == 1
