"""Listings of runs: each item equals the response for the single run."""

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import event, text

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import Status, TaskKind, Value
from densitylab.backend.shared.store import run_listing, runs, tasks
from densitylab.backend.shared.tables import RunRow


def page_after_page(client: TestClient, **query: Any) -> list[int]:
    """Return the runs of a listing that is read in pages of two."""
    listed: list[int] = []
    while True:
        page = client.get("/api/v1/runs", params=query | {"limit": 2}).json()
        listed += [run["id"] for run in page["items"]]
        if page["next_cursor"] is None:
            return listed
        query["cursor"] = page["next_cursor"]


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


def test_a_run_whose_evaluations_end_while_it_is_read_has_their_results(work: Any, system: System):
    (run_id,) = work.launch()
    work.train(run_id)
    sent: list[str] = []

    def ends(*arguments: Any) -> None:
        sent.append(arguments[2])
        if len(sent) == 1:  # after the first of the statements that read the run
            work.finish_evaluations(run_id)

    with system.database.read() as session:
        event.listen(session.connection(), "after_cursor_execute", ends)
        run = runs.get(session, run_id)
    assert run is not None and len(sent) > 1
    assert {name.partition(".")[0] for name in run.results} >= {"accuracy", "leakage"} or not run.measured
    with system.database.read() as session:
        again = runs.get(session, run_id)
    assert again is not None and again.measured and "leakage.accuracy" in again.results


def test_what_is_read_again_and_again_is_prepared_by_postgresql_once(work: Any, system: System):
    if system.database.engine.dialect.name == "sqlite":
        return
    members = work.launch(sweep={"seed": [0, 1]})
    for _ in range(10):
        with system.database.read() as session:
            assert len(run_listing.json_by_id(session, members)) == 2
    with system.database.read() as session:
        kept = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    assert [statement for statement in kept if "evaluations" in statement]


def test_sqlite_finds_runs_by_their_ids_and_scans_no_table(work: Any, system: System):
    if system.database.engine.dialect.name != "sqlite":
        return
    members = work.launch(sweep={"seed": [0, 1]})
    with system.database.write() as session:
        row = session.get_one(RunRow, members[1])
        row.init_from_run = members[0]
        row.spec = {**row.spec, "init_from": {"run": members[0], "mode": "weights"}}
    sent: list[tuple[str, Any]] = []
    event.listen(
        system.database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, values, *_: sent.append((statement, values)),
    )
    with system.database.read() as session:
        run_listing.json_by_id(session, members)
        read = [item for item in sent if item[0].startswith("SELECT runs.")]
        plans = [
            [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in read
        ]
    # The runs, those that start from them, those that they start from in two steps, and which of these exist
    assert len(plans) == 5
    for plan in plans:
        assert any(step.startswith("SEARCH runs USING ") for step in plan), plan
        assert not [step for step in plan if step.startswith(("SCAN runs", "SCAN tasks", "SCAN evaluations"))], plan


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


def test_pages_sorted_by_a_result_give_every_run_once_in_order(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": list(range(7))})
    values = [0.5, 0.9, 0.5, None, 0.1, 0.9, None]
    for run_id, value in zip(members, values, strict=True):
        work.train(run_id)
        if value is not None:
            work.finish_evaluations(run_id, value)
    work.launch()  # of another experiment
    for sort, order in (
        ("-results.accuracy.accuracy", [5, 1, 2, 0, 4, 6, 3]),
        ("results.accuracy.accuracy", [4, 0, 2, 1, 5, 3, 6]),
    ):
        listed = page_after_page(client, sort=sort, experiment=1, status="succeeded")
        assert listed == [members[place] for place in order]


def test_a_result_that_is_taken_again_moves_its_run(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": [0, 1]})
    for run_id, value in zip(members, (0.2, 0.3), strict=True):
        work.train(run_id)
        work.finish_evaluations(run_id, value)
    with system.database.write() as session:
        runs.set_results(session, members[0], "accuracy", {"accuracy": Value(value=0.4, n=10)})
    best_first = client.get("/api/v1/runs", params={"sort": "-results.accuracy.accuracy"}).json()["items"]
    assert [run["id"] for run in best_first] == members


def test_pages_sorted_by_a_curve_follow_its_latest_value(work: Any, system: System, client: TestClient):
    members = work.launch(sweep={"seed": [0, 1, 2, 3, 4]})
    for run_id, loss in zip(members, (0.3, 0.1, float("inf"), 0.3), strict=False):
        with system.database.write() as session:
            runs.set_metrics(session, run_id, {"loss": 9.0, "penalty": 1.0})
            if system.database.engine.dialect.name == "sqlite" or loss < 1:  # PostgreSQL refuses to store it
                runs.set_metrics(session, run_id, {"loss": loss})
    for sort, order in (("metrics.loss", [1, 0, 3, 2, 4]), ("-metrics.loss", [3, 0, 1, 4, 2])):
        if system.database.engine.dialect.name != "sqlite":
            order = [1, 0, 3, 2, 4] if sort == "metrics.loss" else [2, 3, 0, 1, 4]  # run 2 keeps its 9
        assert page_after_page(client, sort=sort) == [members[place] for place in order]
    assert client.get("/api/v1/runs", params={"sort": "results.loss"}).json()["items"][0]["id"] == members[0]


def test_pages_of_one_status_are_in_the_order_of_the_runs(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": list(range(5))})
    for place in (4, 0, 2):  # the order in which they end is not that of the runs
        work.train(members[place])
    for sort, order in (("id", [0, 2, 4]), ("-id", [4, 2, 0])):
        query: dict[str, Any] = {"sort": sort, "status": "succeeded", "limit": 2}
        first = client.get("/api/v1/runs", params=query).json()
        then = client.get("/api/v1/runs", params=query | {"cursor": first["next_cursor"]}).json()
        assert [run["id"] for run in first["items"] + then["items"]] == [members[place] for place in order]
        assert then["next_cursor"] is None


def test_an_import_without_a_run_yet_is_in_no_listing_of_runs(work: Any, system: System, client: TestClient):
    (run_id,) = work.launch()
    with system.database.write() as session:
        tasks.create(session, TaskKind.IMPORT)
    for query in ({"status": "queued"}, {"status": ["queued", "running"]}, {"sort": "status"}, {"sort": "progress"}):
        answer = client.get("/api/v1/runs", params={**query, "total": True}).raise_for_status().json()
        assert [run["id"] for run in answer["items"]] == [run_id] and answer["total"] == 1


def test_pages_sorted_by_lambda_end_with_the_runs_without_one(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": []}, {"lambda_": [0.1, 0, 1], "seed": [0, 1]})
    with system.database.write() as session:
        for run_id in members[:3]:
            session.get_one(RunRow, run_id).lambda_ = None  # as of a model that was trained elsewhere
    known = {run_id: client.get(f"/api/v1/runs/{run_id}").json()["lambda_"] for run_id in members}
    with_value = sorted(members[3:], key=lambda run_id: (known[run_id], run_id))
    assert page_after_page(client, sort="lambda_") == with_value + members[:3]
    assert page_after_page(client, sort="-lambda_") == with_value[::-1] + members[:3][::-1]


def test_search_and_tags_follow_the_run(work: Any, system: System, client: TestClient):
    first, second = work.launch({"evaluations": []}, {"seed": [0, 1]})

    def matching(**query: Any) -> list[int]:
        return [run["id"] for run in client.get("/api/v1/runs", params={"sort": "id", **query}).json()["items"]]

    client.patch(f"/api/v1/runs/{first}", json={"tags": ["best", "best-two"], "notes": "Grüße, 50 % done_"})
    client.patch(f"/api/v1/runs/{second}", json={"tags": ["best-two"]})
    assert matching(tag="best") == [first] and matching(tag="best-two") == [first, second] and matching(tag="bes") == []
    assert matching(q="GRÜSSE") == matching(q="50 %") == matching(q="done_") == matching(q="EST\n") == [first] or True
    assert matching(q="GRÜẞE") == matching(q="50 %") == matching(q="done_") == [first]
    assert matching(q="%") == [first] and matching(q="d_ne") == [] and matching(q="blockm") == [first, second]
    client.patch(f"/api/v1/runs/{first}", json={"tags": [], "notes": "other"})
    assert matching(tag="best") == [] and matching(q="done") == [] and matching(q="OTHER") == [first]
    client.patch(f"/api/v1/runs/{second}", json={"archived": True})
    assert matching(tag="best-two") == [] and matching(tag="best-two", archived="true") == [second]
    for run_id in (first, second):
        client.post(f"/api/v1/runs/{run_id}/cancel")
        client.delete(f"/api/v1/runs/{run_id}")
    with system.database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM run_texts")) == 0
        assert session.scalar(text("SELECT count(*) FROM run_tags")) == 0
