"""Owners of what exists are taken from the audit log, and tokens get names of their own."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, insert, text

from densitylab.backend.ops import migrate
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import audit, tokens, webhooks
from tests.backend.ops.test_migrations import postgresql_settings, sqlite_settings  # noqa: F401
from tests.backend.ops.test_migrations_of_content import ROWS

NAMES = {1: "ada", 2: "bob", 3: "bob", 4: "local", 5: "of ada", 6: "of that"}
# caller, path, location
LINES = [
    ("ada", "/api/v1/experiments", "/api/v1/experiments/1"),
    ("bob", "/api/v1/experiments", "/api/v1/experiments/1"),  # a repetition with its Idempotency-Key
    ("ada", "/api/v1/webhooks", "/api/v1/webhooks/1/deliveries"),
    ("ada", "/api/v1/tokens", "/api/v1/tokens/5"),
    ("of ada", "/api/v1/tokens", "/api/v1/tokens/6"),
    ("bob", "/api/v1/tokens", "/api/v1/tokens/99"),  # of nothing that is left
    ("local", "/api/v1/runs/1/cancel", None),
]


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
def test_owners_come_from_the_audit_log(kind: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    with migrate._connection(settings) as connection:
        command.upgrade(migrate._config(connection), "0013")
        connection.commit()
    database = Database(settings.database_url)
    fill(database)
    migrate.upgrade(settings)

    with database.read() as session:
        for table in ("experiments", "runs", "webhooks"):
            row = session.execute(text(f"SELECT owner, owner_token FROM {table} WHERE id = 1")).one()
            assert tuple(row) == ("ada", 1), table
        assert {item.id: item.name for item in tokens.listing(session)} == NAMES | {3: "bob (3)", 4: "local (4)"}
        lines = audit.listing(session, before=None, limit=20, caller=None)
    assert {line.caller: line.token for line in lines} == {"ada": 1, "bob": None, "of ada": 5, "local": None}
    # What a revoked token made while every token could
    with database.write() as session:
        tokens.revoke(session, 1)
        assert [item.id for item in tokens.listing(session) if item.revoked_at is None] == [2, 3, 4]
        assert webhooks.listing(session, Caller("administrator")) == []
    database.close()


def fill(database: Database) -> None:
    known = MetaData()
    known.reflect(database.engine)
    rows: list[tuple[str, dict[str, Any]]] = [
        (name, row) for name, row in ROWS if name in ("experiments", "runs", "webhooks")
    ]
    rows += [
        ("tokens", {"id": number, "name": name, "digest": "e" * 64, "read_only": False, "created_at": 1.0})
        for number, name in NAMES.items()
    ]
    rows += [
        (
            "audit",
            {
                "id": number,
                "at": 1.0,
                "caller": caller,
                "method": "POST",
                "path": path,
                "status": 201,
                "location": location,
                "request_id": "r",
            },
        )
        for number, (caller, path, location) in enumerate(LINES, 1)
    ]
    with database.engine.begin() as connection:
        for name, row in rows:
            connection.execute(insert(known.tables[name]), [row])
