"""Plans of the statements of common requests: none reads all runs, tasks, points or artifacts, on either database."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from densitylab.backend.reconciler import System
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import metrics, outbox, run_listing, stacks, tasks
from densitylab.backend.shared.store.metrics import Point
from densitylab.backend.shared.store.run_filters import Filter

LARGE = ("runs", "tasks", "metrics", "artifacts", "evaluations", "result_values", "latest_values", "run_tags")
SORTS = ("id", "created_at", "lambda_", "progress", "status", "results.accuracy.accuracy", "metrics.loss")
Statement = tuple[str, Any]


@pytest.fixture
def runs_(work: Any, system: System, client: TestClient) -> list[int]:
    """Return eight runs with a curve, of which two are evaluated and one is tagged."""
    members: list[int] = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": list(range(8))})
    for run_id in members[:2]:
        work.train(run_id)
        work.finish_evaluations(run_id)
    with system.database.write() as session:
        for run_id in members:
            metrics.append(session, run_id, [Point("loss", step, step, 1.0, 1.0) for step in range(20)])
    client.patch(f"/api/v1/runs/{members[0]}", json={"tags": ["best"]})
    return members


class Plans:
    """The statements that a database has executed, and what is wrong with their plans."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements: list[Statement] = []

    def record(self, _connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and not many:
            self._statements.append((statement, values))

    def scans(self, tables: Sequence[str] = LARGE) -> list[str]:
        """Return each plan of the statements so far that reads one of the tables as a whole, with its statement."""
        statements, self._statements = self._statements, []
        plan = _postgresql if self._database.engine.dialect.name == "postgresql" else _sqlite
        with self._database.engine.connect() as connection:
            return [
                f"{step}\n{statement}"
                for statement, values in statements
                for step in plan(connection, statement, values, tables)
            ]


def _sqlite(connection: Connection, statement: str, values: Any, tables: Sequence[str]) -> Iterator[str]:
    steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    # A page is read in the order of an index, up to its limit
    ordered = "LIMIT" in statement and not any("TEMP B-TREE FOR ORDER" in step for step in steps)
    for step in steps:
        # What nearly all runs meet is no search
        scanned = re.match(r"SCAN (\w+)|SEARCH (?=.*\(deleting=\?( AND archived=\?)?\)$)(\w+)", step)
        names = _names(statement)
        table = scanned and (scanned[1] or scanned[3])
        # FTS5 names its way: M for words, = < > for the number
        if re.match(r"SCAN \w+ VIRTUAL TABLE INDEX \d+:.*M", step):
            continue
        if table and names.get(table, table) in tables and not (ordered and "INDEX" in step):
            yield step


def _names(statement: str) -> dict[str, str]:
    """Return the table of each alias."""
    return {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}


def _postgresql(connection: Connection, statement: str, values: Any, tables: Sequence[str]) -> list[str]:
    # It would scan tables as small as these: let it do so only if no index serves
    for way in ("seqscan", "hashjoin", "mergejoin", "material"):
        connection.exec_driver_sql(f"SET enable_{way} = off")
    each = []
    # An index serves an order or a condition: either is good. Words are found by a bitmap
    for sort, bitmap in (("on", "off"), ("off", "off"), ("on", "on")):
        connection.exec_driver_sql(f"SET enable_sort = {sort}")
        connection.exec_driver_sql(f"SET enable_bitmapscan = {bitmap}")
        (explained,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalars()
        plan = explained[0] if isinstance(explained, list) else json.loads(explained)[0]
        each.append(list(_steps(plan["Plan"], tables, limited=False)))
    return min(each, key=len)


def _steps(node: dict[str, Any], tables: Sequence[str], *, limited: bool) -> Iterator[str]:
    limited = (limited or node["Node Type"] == "Limit") and node["Node Type"] not in ("Sort", "Aggregate", "Hash")
    if node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable":
        reads_all = node["Node Type"] == "Seq Scan" or not (_found(node) or limited)
        if reads_all:
            yield f"{node['Node Type']} of {node['Relation Name']}"
    for inner in node.get("Plans", []):
        yield from _steps(inner, tables, limited=limited)


def _found(node: dict[str, Any]) -> bool:
    """Return whether the rows are found by a condition on an index, or by such conditions together in a bitmap."""
    return "Index Cond" in node or (
        node["Node Type"].startswith("Bitmap") and bool(node.get("Plans")) and all(map(_found, node["Plans"]))
    )


@pytest.fixture
def plans(database: Database, client: TestClient) -> Iterator[Plans]:
    recorded = Plans(database)
    engines = (database.engine, client.app.state.database.engine)  # type: ignore[attr-defined]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", recorded.record)
    yield recorded
    for engine in engines:
        event.remove(engine, "before_cursor_execute", recorded.record)


def test_pages_are_read_in_the_order_of_an_index(client: TestClient, runs_: list[int], plans: Plans):
    for sort in (*SORTS, *(f"-{sort}" for sort in SORTS)):
        query: dict[str, Any] = {"sort": sort, "limit": 1}
        for _ in range(3):
            query["cursor"] = client.get("/api/v1/runs", params=query).raise_for_status().json()["next_cursor"]
        assert plans.scans() == [], sort


@pytest.mark.parametrize(
    "query",
    [
        {"tag": "best"},
        {"regularizer": "none"},
        {"model": "cnn"},
        {"dataset": ["mnist", "blockmnist"]},
        {"owner": "ada"},
        {"origin": "imported"},
        {"name": "best of all"},
        {"archived": "true"},
        {"archived": ["true", "false"]},
        {"status": "failed"},
        {"status": ["queued", "running"]},
        {"experiment": 1},
        {"ids": [1, 2]},
        {"where": "results.accuracy.accuracy>=0.9"},
        {"lambda_min": 5},
        {"created_after": "2020-01-01"},
    ],
    ids=lambda query: "-".join(query),
)
def test_filters_are_found_in_an_index(client: TestClient, runs_: list[int], plans: Plans, query: dict[str, Any]):
    for sort in ("-id", "-created_at", "progress", "-results.accuracy.accuracy"):
        client.get("/api/v1/runs", params={**query, "sort": sort}).raise_for_status()
        assert plans.scans() == [], sort


@pytest.mark.parametrize("word", ["BEST", '"λβγ_%', "ist"])
def test_words_are_found_in_an_index(client: TestClient, runs_: list[int], plans: Plans, word: str):
    for sort in ("-id", "-lambda_"):
        client.get("/api/v1/runs", params={"q": word, "sort": sort, "total": True}).raise_for_status()
        assert plans.scans((*LARGE, "run_texts", "run_text_index")) == [], sort
    client.get("/api/v1/experiments", params={"q": word}).raise_for_status()
    assert plans.scans((*LARGE, "experiments", "experiment_text_index")) == []


def test_words_of_two_characters_are_looked_for_in_their_own_table(client: TestClient, runs_: list[int], plans: Plans):
    client.get("/api/v1/runs", params={"q": "st"}).raise_for_status()
    assert plans.scans() == []


def test_one_run_curves_and_the_state_of_the_system(client: TestClient, runs_: list[int], plans: Plans):
    for path, query in (
        (f"/api/v1/runs/{runs_[0]}", {}),
        (f"/api/v1/runs/{runs_[0]}/metrics", {}),
        (f"/api/v1/runs/{runs_[0]}/metrics", {"max_points": 3, "since": 2}),
        ("/api/v1/metrics", {"run": runs_}),
        ("/api/v1/experiments", {}),
        ("/api/v1/experiments", {"has_model": True}),
        ("/api/v1/experiments/1", {}),
        ("/api/v1/system", {}),
        ("/metrics", {}),
    ):
        client.get(path, params=query).raise_for_status()
        assert plans.scans() == [], path


def test_the_life_of_a_task(work: Any, runs_: list[int], plans: Plans, database: Database):
    work.start(runs_[2])
    with database.write() as session:
        tasks.reap(session)
        outbox.take(session, 500)
    with database.read() as session:
        tasks.overdue_cancels(session, 10)
        tasks.counts(session)
    assert plans.scans() == []


def test_runs_that_train_as_one_are_found_and_claimed(work: Any, runs_: list[int], plans: Plans, database: Database):
    claim = work.start(runs_[2])
    with database.write() as session:
        siblings = stacks.siblings(session, claim.task_id, 100)
        assert len(stacks.claim(session, list(siblings.values()), worker="w", lease_seconds=15)) == 5
        stacks.fading(session, runs_)
    assert plans.scans() == []


def test_a_scan_would_be_seen(runs_: list[int], plans: Plans, database: Database):
    with database.read() as session:
        session.connection().exec_driver_sql("SELECT spec_hash FROM runs WHERE notes = 'x' LIMIT 1")
        session.connection().exec_driver_sql("SELECT sum(bytes) FROM artifacts")
        session.connection().exec_driver_sql("SELECT kind, count(*) FROM tasks GROUP BY kind")
    assert len(plans.scans()) == 3


def test_the_number_of_statements_does_not_grow_with_the_runs(
    client: TestClient, runs_: list[int], plans: Plans, database: Database
):
    numbers = []
    for members in (runs_[:2], runs_):
        client.get("/api/v1/metrics", params={"run": members}).raise_for_status()
        numbers.append(len(plans._statements))
        plans.scans()
    assert numbers[0] == numbers[1]


def test_a_filter_with_many_matches_finds_the_same(system: System, runs_: list[int], monkeypatch: pytest.MonkeyPatch):
    filters = [
        Filter(tag=("best",)),
        Filter(model=("mlp",)),
        Filter(query="best"),
        Filter(status=("queued",)),
        Filter(ids=tuple(runs_[:3])),
        Filter(experiment=(1,), tag=("best", "other")),
    ]
    for few in (1000, 0):
        monkeypatch.setattr("densitylab.backend.shared.store.run_filters.FEW", few)
        run_listing._ordered.cache_clear()
        with system.database.read() as session:
            listed = [
                [run.id for run in run_listing.sorted_runs(session, item, sort=sort, descending=True)]
                for item in filters
                for sort in SORTS
            ]
            counts = [run_listing.count(session, item) for item in filters]
        if few:
            expected = listed, counts
    assert (listed, counts) == expected
    assert listed[0] == [runs_[0]] and counts == [1, 8, 1, 6, 3, 1]


def test_postgresql_plans_each_statement_for_its_values(empty_postgresql: str):
    """A plan for any values, which PostgreSQL would use from the eleventh time on, is that of no test here."""
    database = Database(empty_postgresql)
    for seconds in (0.0, 5.0):
        limited = Database(empty_postgresql, lock_seconds=seconds, statement_seconds=seconds)
        with limited.engine.connect() as connection:
            assert connection.execute(text("SHOW plan_cache_mode")).scalar_one() == "force_custom_plan"
            assert connection.execute(text("SHOW jit")).scalar_one() == "off"
            shown = connection.execute(text("SHOW statement_timeout")).scalar_one()
            assert shown == ("5s" if seconds else "0")
        limited.close()
    with database.read() as session:
        for _ in range(20):
            metrics.read_json(session, [1], ["loss"], max_points=100)
        used = session.execute(text("SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"))
        generic, custom = used.one()
    database.close()
    assert generic == 0 and custom >= 14
