"""A database that is locked, slow or has no free connection: requests are refused in a sentence, and soon."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from densitylab.backend.api import app as api
from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.shared import database as shared_database
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from tests.servers import free_ports, postgresql


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(shared_database, "_BUSY_SECONDS", 0.3)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_a_request_behind_another_transaction_is_refused(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch()
    with ThreadPoolExecutor(1) as thread:
        with database.write() as session:
            session.execute(text("UPDATE runs SET notes = 'first'"))
            began = time.monotonic()
            answer = thread.submit(client.patch, f"/api/v1/runs/{run_id}", json={"notes": "second"}).result(20)
            assert time.monotonic() - began < 10
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        assert answer.json()["detail"] == "the database is locked by another transaction; try again in a moment"
        assert client.patch(f"/api/v1/runs/{run_id}", json={"notes": "third"}).json()["notes"] == "third"


def test_readiness_and_metrics_do_not_wait_for_a_locked_table(client: TestClient, work: Any, database: Database):
    if database.engine.dialect.name == "sqlite":
        pytest.skip("readers of SQLite wait for no lock")
    work.launch()
    with database.write() as session:
        session.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(client.get, "/readyz").result(20)
            assert (answer.status_code, answer.json()["database"]) == (503, "is locked by another transaction")
            assert (
                "The database is locked by another transaction: no request can be served." in answer.json()["degraded"]
            )
            told = thread.submit(client.get, "/metrics").result(20)
            assert "densitylab_database_up 0.0" in told.text
            assert thread.submit(client.post, "/api/v1/experiments", json={}).result(20).status_code == 503
    assert client.get("/readyz").json()["database"] == "ok"


def test_a_statement_that_takes_too_long_ends(database_url: str):
    if database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL alone has this limit")
    database = Database(database_url, statement_seconds=0.2)
    with pytest.raises(shared_database.OperationalError) as refusal, database.read() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    assert shared_database.explain(refusal.value) == "the database took too long for a statement"
    database.close()


def test_the_limits_hold_in_every_transaction(database_url: str):
    if database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL alone has these limits")
    database = Database(database_url, lock_seconds=5.0, statement_seconds=60.0)
    for transaction in (database.read, database.write, database.read):
        with transaction() as session:
            limits = [session.execute(text(f"SHOW {name}_timeout")).scalar_one() for name in ("lock", "statement")]
        assert limits == ["5s", "1min"]
    database.close()


def test_too_many_connections_are_named(settings: Settings, database_url: str):
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no connections to run out of")
    role = "densitylab_test_without_connections"
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"DROP ROLE IF EXISTS {role}")
        server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
        try:
            url = database_url.replace("postgres@", f"{role}@")
            refused = Settings(home=settings.home, database_url=url, redis_url=settings.redis_url)
            with TestClient(create_app(refused), raise_server_exceptions=False) as client:
                answer = client.get("/api/v1/runs")
                assert answer.status_code == 503
                assert answer.json()["detail"] == "the database accepts no more connections; try again in a moment"
                assert client.get("/readyz").json()["database"] == "accepts no more connections"
        finally:
            server.execute(f"DROP ROLE {role}")


def test_readiness_says_when_no_connection_is_left(tmp_path: Path, broker: Any):
    (port,) = free_ports(1)
    with ExitStack() as stack:
        server = postgresql(stack, tmp_path, port)
        address = f"postgresql://densitylab@127.0.0.1:{port}/densitylab"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_connections = 10")
        server.stop()
        server.start()
        settings = Settings(home=tmp_path, database_url=address, redis_url=broker.url)
        migrate.upgrade(settings)
        with TestClient(create_app(settings)) as client:
            assert not [line for line in client.get("/readyz").json()["degraded"] if "connection" in line]
            for _ in range(6):  # three are for superusers
                stack.enter_context(psycopg.connect(address))
            (sentence,) = [line for line in client.get("/readyz").json()["degraded"] if "connection" in line]
            assert sentence.startswith("The database has no free connection (7 of 7 are in use)")
