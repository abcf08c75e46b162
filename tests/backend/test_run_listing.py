"""A listing is written from what is stored; it must say of each run what the run's own address says."""

from typing import Any

from fastapi.testclient import TestClient

from backend.reconciler import System
from backend.shared.contracts import Status
from backend.shared.tables import RunRow


def test_a_listing_says_what_each_run_says(work: Any, system: System, client: TestClient):
    members = work.launch(sweep={"seed": [0, 1, 2, 3]})
    work.train(members[0])
    work.finish_evaluations(members[0])
    work.start(members[1])
    work.end(work.start(members[2]), Status.FAILED, 'a "quoted" \\ error\nof two lines')
    client.patch(f"/api/v1/runs/{members[3]}", json={"notes": "λ → 0 \u2028", "tags": ["a"]})
    listed = client.get("/api/v1/runs", params={"sort": "id"}).json()["items"]
    assert listed == [client.get(f"/api/v1/runs/{run_id}").json() for run_id in members]
    assert listed[0]["results"]["accuracy.accuracy"]["value"] == 0.9
    assert [run["status"] for run in listed] == ["succeeded", "running", "failed", "queued"]


def test_what_an_older_version_stored_is_given_in_todays_form(work: Any, system: System, client: TestClient):
    (run_id,) = work.launch()
    with system.database.write() as session:
        row = session.get_one(RunRow, run_id)
        row.spec_version = 0
        row.spec = {**row.spec, "no_longer_known": 1, "batch_size": 10**9}  # beyond today's rules as well
    (listed,) = client.get("/api/v1/runs").json()["items"]
    assert "no_longer_known" not in listed["spec"] and listed["spec"]["batch_size"] == 10**9
    assert listed == client.get(f"/api/v1/runs/{run_id}").json()


def test_a_number_that_json_does_not_have_is_null(work: Any, system: System, client: TestClient):
    if system.database.engine.dialect.name != "sqlite":
        return  # PostgreSQL refuses to store it
    (run_id,) = work.launch()
    with system.database.write() as session:
        session.get_one(RunRow, run_id).metrics = {"loss": float("nan"), "penalty": 1.0}
    (listed,) = client.get("/api/v1/runs").json()["items"]
    assert listed["metrics"] == {"loss": None, "penalty": 1.0}
