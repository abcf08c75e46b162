"""Migrate a database of every earlier revision, with a row in every table, to the newest and read it."""

from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, func, insert, select, text

from densitylab.backend.ops import migrate
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import (
    datasets,
    evaluations,
    experiments,
    logs,
    metrics,
    registered_datasets,
    run_artifacts,
    run_listing,
    runs,
    tasks,
    totals,
)
from densitylab.backend.shared.store.run_filters import Filter
from densitylab.backend.shared.tables import TaskRow
from tests.backend.ops.test_migrations import postgresql_settings, sqlite_settings  # noqa: F401

CATALOG = Catalog.built_in()

REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(migrate._config()).walk_revisions())
# As the first release stored it: of version 1, which knew fewer fields
SPEC = {
    name: value
    for name, value in specs.plan(CATALOG, {"epochs": 3, "seed": 7}, None)[0].spec.model_dump(mode="json").items()
    if name
    in (
        "dataset",
        "model",
        "regularizer",
        "lambda_",
        "schedule",
        "optimizer",
        "epochs",
        "batch_size",
        "seed",
        "device",
        "evaluations",
        "train_samples",
    )
} | {"spec_version": 1}
DATA = {"data_seed": 0}
TASK = {
    "payload": {},
    "status": "succeeded",
    "stage": "",
    "progress": 1.0,
    "token": 1,
    "attempt": 1,
    "fruitless": 0,
    "worker": "training-host-1-a",
    "delivery": 1,
    "delivered": True,
    "created_at": 1.0,
    "started_at": 2.0,
    "finished_at": 3.0,
    "priority": 1,
    "memory_bytes": 5,
    "device_memory_bytes": 6,
}
# In an order that foreign keys allow; a revision takes the tables and columns that it has
ROWS: list[tuple[str, dict[str, Any]]] = [
    (
        "experiments",
        {
            "id": 1,
            "name": "old",
            "notes": "n",
            "tags": ["t"],
            "archived": False,
            "deleting": False,
            "request": {"name": "old"},
            "created_at": 1.0,
            "additions": [],
        },
    ),
    ("idempotency", {"key": "k", "body_hash": "h", "experiment_id": 1, "made": 1, "created_at": 1.0}),
    (
        "runs",
        {
            "id": 1,
            "experiment_id": 1,
            "spec_version": 1,
            "spec": SPEC,
            "spec_hash": "0" * 16,
            "dataset": "blockmnist",
            "model": "mlp",
            "regularizer": "none",
            "name": "teacher",
            "notes": "",
            "tags": ["mine"],
            "archived": False,
            "deleting": False,
            "metrics": {"loss": 0.5},
            "results": {"accuracy.accuracy": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 10}},
            "flags": [],
            "provenance": {"host": "old-host"},
            "data_hash": "d" * 64,
            "device": "cpu",
            "checkpoint_step": 9,
            "created_at": 1.0,
        },
    ),
    (
        "artifacts",
        {
            "id": 1,
            "run_id": 1,
            "name": "checkpoint.pt",
            "location": "runs/1/checkpoints/1-9.pt",
            "bytes": 3,
            "media_type": "application/octet-stream",
            "step": 9,
            "created_at": 1.0,
        },
    ),
    ("log_lines", {"id": 1, "run_id": 1, "at": 1.0, "level": "info", "text": "said long ago"}),
    ("metrics", {"run_id": 1, "name": "loss", "step": 9, "epoch": 3.0, "value": 0.5, "seconds": 2.0}),
    ("tasks", {"id": 1, "kind": "train", "run_id": 1, **TASK}),
    ("tasks", {"id": 2, "kind": "evaluate", "run_id": 1, "after_task": 1, **TASK}),
    ("tasks", {"id": 3, "kind": "attribute", **TASK}),
    (
        "attributions",
        {
            "id": 1,
            "task_id": 3,
            "content_hash": "c" * 64,
            "request": {"runs": [1]},
            "panels": [],
            "limit": 1.0,
            "data_hash": "d" * 64,
            "location": "cache/1.npz",
            "bytes": 4,
            "seconds": 1.0,
            "created_at": 1.0,
            "used_at": 1.0,
        },
    ),
    (
        "datasets",
        {
            "key": "blockmnist",
            "params_hash": specs.content_hash(DATA),
            "params": DATA,
            "ready": True,
            "bytes": 10,
            "data_hash": "d" * 64,
            "sizes": {"train": 20},
            "class_counts": {"train": [2] * 10},
            "samples_location": "datasets/x.npz",
            "task_id": 3,
            "prepared_at": 1.0,
            "group_counts": {},
            "removing": False,
        },
    ),
    (
        "evaluations",
        {
            "id": 1,
            "run_id": 1,
            "task_id": 2,
            "name": "accuracy",
            "key": "accuracy",
            "params": {},
            "values": {"accuracy": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 10}},
            "curves": {},
            "flags": [],
            "seconds": 1.0,
            "provenance": {},
            "created_at": 1.0,
        },
    ),
    ("tokens", {"id": 1, "name": "ada", "digest": "e" * 64, "read_only": True, "created_at": 1.0}),
    ("audit", {"id": 1, "at": 1.0, "caller": "ada", "method": "POST", "path": "/x", "status": 201, "request_id": "r"}),
    (
        "uploads",
        {
            "id": 1,
            "dataset": "blockmnist",
            "content_hash": "f" * 64,
            "pixels": b"\x01\x02",
            "height": 1,
            "width": 2,
            "created_at": 1.0,
        },
    ),
    (
        "registered_datasets",
        {
            "key": "birds",
            "label": "Birds",
            "summary": "Two birds.",
            "created_at": 1.0,
            "facts": {
                "num_classes": 2,
                "class_names": ["a", "b"],
                "group_names": [],
                "channels": 3,
                "image_size": [8, 8],
                "mean": [0.5] * 3,
                "std": [0.5] * 3,
                "train_size": 4,
                "has_mask": False,
                "has_groups": False,
            },
        },
    ),
    ("run_tags", {"run_id": 1, "tag": "mine"}),
    ("run_texts", {"run_id": 1, "text": "1\nmine\nblockmnist\nmlp\nnone"}),
    ("result_values", {"run_id": 1, "name": "accuracy.accuracy", "value": 0.9}),
    ("latest_values", {"run_id": 1, "name": "loss", "value": 0.5}),
    ("ended_runs", {"status": "failed", "number": 1}),
    ("events", {"id": 1, "run_id": 1, "task_id": 1, "kind": "train", "status": "succeeded", "at": 3.0}),
    (
        "webhooks",
        {
            "id": 1,
            "url": "https://example.org/",
            "secret": "whsec_eA==",
            "events": ["run.failed"],
            "format": "event",
            "seen_event": 1,
            "created_at": 1.0,
        },
    ),
    (
        "studies",
        {
            "id": 1,
            "key": "leakage",
            "size": "minutes",
            "datasets": {},
            "definition": {},
            "launches": [],
            "created_at": 1.0,
        },
    ),
    ("deliveries", {"id": 1, "webhook_id": 1, "event_id": 1, "attempts": 1, "delivered_at": 3.0}),
]
_RENAMED = {("idempotency", "experiment_id"): "made"}


def _stored(database: Database) -> tuple[MetaData, dict[str, list[dict[str, Any]]]]:
    known = MetaData()
    known.reflect(database.engine)
    with database.engine.connect() as connection:
        return known, {
            name: [dict(row._mapping) for row in connection.execute(select(table))]
            for name, table in known.tables.items()
            if name != "alembic_version"
        }


def _fill(database: Database) -> None:
    known, _ = _stored(database)
    with database.engine.begin() as connection:
        for name, row in ROWS:
            if name not in known.tables:
                continue
            table = known.tables[name]
            for column in table.columns:
                assert column.name in row or column.nullable or column.server_default is not None, f"{name}.{column}"
            connection.execute(insert(table), [{key: value for key, value in row.items() if key in table.columns}])
        if connection.dialect.name == "postgresql":
            for name in {name for name, row in ROWS if "id" in row and name in known.tables}:
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 100)"))


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.few(9)
def test_content_of_every_revision_survives_and_is_read(kind: str, revision: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    with migrate._connection(settings) as connection:
        command.upgrade(migrate._config(connection), revision)
        connection.commit()
    database = Database(settings.database_url)
    _fill(database)
    _, before = _stored(database)
    own = {name: rows for name, rows in before.items() if name != totals.TABLE.name}  # which triggers fill
    assert {len(rows) for rows in own.values()} <= {1, 3}, "a table without a row: add one to ROWS"
    backup = migrate.upgrade(settings)
    assert (backup is not None) == (kind == "sqlite_settings" and revision != REVISIONS[-1])

    _, after = _stored(database)
    for name, rows in before.items():
        assert [
            {key: row[_RENAMED.get((name, key), key)] for key in old}
            for row, old in zip(after[name], rows, strict=True)
        ] == rows, name
    _read(database)
    with migrate._connection(settings) as connection:
        command.check(migrate._config(connection))
    database.close()


def _read(database: Database) -> None:
    with database.read() as session:
        run = runs.get(session, 1)
        assert run is not None and run.status == Status.SUCCEEDED and run.spec.seed == 7 and run.tags == ["mine"]
        assert run.results["accuracy.accuracy"].value == 0.9 and run.provenance["host"] == "old-host"
        assert experiments.get(session, 1).name == "old"
        assert [point.value for point in metrics.read(session, 1)[0].points] == [0.5]
        assert [line.text for line in logs.read(session, 1)] == ["said long ago"]
        assert evaluations.of_run(session, 1)[0].values["accuracy"].value == 0.9
        assert datasets.get(session, "blockmnist", DATA).ready
        assert run_artifacts.artifact(session, 1, "checkpoint.pt").step == 9
        assert tasks.get(session, 1).status == Status.SUCCEEDED
        registered_datasets.entries(session)
        for query in ({"tag": ("mine",)}, {"query": "BLOCKm"}, {"query": "mine"}):
            listed = run_listing.sorted_runs(session, Filter(**query), sort="id", descending=True)
            assert [run.id for run in listed] == [1], query
        counts = session.execute(
            select(TaskRow.kind, TaskRow.status, func.count()).group_by(TaskRow.kind, TaskRow.status)
        )
        assert totals.tasks(session) == {(kind, status): number for kind, status, number in counts}
        assert totals.artifact_bytes(session) == 3
    # And it takes new work
    with database.write() as session:
        row = experiments.create(
            session, name="new", notes="", tags=[], request={}, provenance={}, planned=specs.plan(CATALOG, {}, None)
        )
        assert runs.get(session, experiments.run_ids(session, row.id)[0]).status == Status.QUEUED
