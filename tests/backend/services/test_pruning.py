"""Rows are deleted when they have reached their age, in batches, and none earlier."""

from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from densitylab.backend import reconciler
from densitylab.backend.reconciler import System
from densitylab.backend.services import pruning
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import attributions, idempotency, logs, tasks, tokens, uploads
from densitylab.backend.shared.tables import (
    AttributionRow,
    AuditRow,
    DeliveryRow,
    EventRow,
    IdempotencyRow,
    TaskRow,
    TokenRow,
    UploadRow,
    WebhookRow,
)

DAY = pruning.DAY


def count(database: Database, table: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def add_audit_lines(database: Database, days: list[float]) -> None:
    with database.write() as session:
        at = now(session)
        line = {"caller": "ada", "method": "POST", "path": "/x", "status": 200, "request_id": "r"}
        session.execute(insert(AuditRow), [{**line, "at": at - day * DAY} for day in days])


def test_audit_lines_go_after_their_days_in_batches(system: System, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pruning, "BATCH", 10)
    add_audit_lines(system.database, [400.0] * 25 + [366.0] * 3 + [364.0, 1.0])
    writes = []
    original = system.database.write

    def counted() -> Any:
        writes.append(1)
        return original()

    monkeypatch.setattr(system.database, "write", counted)
    reconciler.delete_old_rows(system)
    assert count(system.database, AuditRow) == 2 and len(writes) >= 3
    reconciler.delete_old_rows(System(*list(vars(system).values())[:5], retention=pruning.Retention(audit_days=30)))
    assert count(system.database, AuditRow) == 1


def test_a_revoked_token_goes_and_its_name_is_free_again(system: System):
    with system.database.write() as session:
        ids = [tokens.create(session, name, read_only=False).id for name in ("old", "new", "valid")]
        for token_id, days in zip(ids, (366, 364), strict=False):
            tokens.revoke(session, token_id)
            session.execute(
                update(TokenRow).where(TokenRow.id == token_id).values(revoked_at=now(session) - days * DAY)
            )
        session.execute(update(TokenRow).values(created_at=0.0))
    reconciler.delete_old_rows(system)
    with system.database.write() as session:
        assert [token.name for token in tokens.listing(session)] == ["new", "valid"]
        assert tokens.create(session, "old", read_only=False).id > ids[2]  # numbers are not used again


def test_events_go_with_their_deliveries(system: System, work: Any):
    (run,) = work.launch({"evaluations": []})
    with system.database.write() as session:
        session.add(
            WebhookRow(id=1, url="http://x", secret="s", events=[], format="event", seen_event=0, created_at=0.0)
        )
        session.flush()
        event = session.scalars(select(EventRow).limit(1)).one()
        session.add(DeliveryRow(webhook_id=1, event_id=event.id, attempts=0))
        event.at = now(session) - 31 * DAY
    before = count(system.database, EventRow)
    reconciler.delete_old_rows(system)
    assert (count(system.database, EventRow), count(system.database, DeliveryRow)) == (before - 1, 0)
    assert run


def test_finished_preparations_and_maps_that_were_not_drawn_go(system: System):
    old = 8 * DAY
    kept, gone = [], []
    with system.database.write() as session:
        for kind in (TaskKind.PREPARE, TaskKind.REGISTER, TaskKind.ATTRIBUTE, TaskKind.DENSITY):
            for status in Status:
                for age in (old, 1.0):
                    maps = kind in (TaskKind.ATTRIBUTE, TaskKind.DENSITY)
                    if maps:
                        number = attributions.create(session, {"runs": []}, "h", kind)
                        task_id = session.get_one(AttributionRow, number).task_id
                    else:
                        task_id = tasks.create(session, kind, payload={"key": "k"}).id
                    row = session.get_one(TaskRow, task_id)
                    row.status = status
                    row.finished_at = now(session) - age if status.final else None
                    drawn = maps and status == Status.SUCCEEDED  # these are within the budget of the cache
                    (gone if status.final and age == old and not drawn else kept).append(task_id)
    reconciler.delete_old_rows(system)
    with system.database.read() as session:
        assert list(session.scalars(select(TaskRow.id).order_by(TaskRow.id))) == kept
        assert set(session.scalars(select(AttributionRow.task_id))) < set(kept)
    assert len(gone) == 2 * 3 + 2 * 2


def test_answers_that_are_kept_with_their_task_go_after_a_day(system: System):
    left = []
    with system.database.write() as session:
        for kind in (TaskKind.INSPECT, TaskKind.PREVIEW, TaskKind.PENALTIES):
            for age in (2 * DAY, 0.5 * DAY):
                row = tasks.create(session, kind, payload={"upload": None})
                row.status, row.finished_at = Status.SUCCEEDED, now(session) - age
                left += [row.id] if age < DAY else []
    reconciler.delete_old_rows(system)
    with system.database.read() as session:
        assert list(session.scalars(select(TaskRow.id).order_by(TaskRow.id))) == left


def test_all_but_the_newest_uploads_go(system: System, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pruning, "KEPT_UPLOADS", 3)
    monkeypatch.setattr(pruning, "BATCH", 2)
    with system.database.write() as session:
        ids = [
            uploads.create(session, "mnist", content_hash=str(number), pixels=b"x", height=1, width=1).id
            for number in range(8)
        ]
    reconciler.delete_old_rows(system)
    with system.database.read() as session:
        assert list(session.scalars(select(UploadRow.id).order_by(UploadRow.id))) == ids[-3:]


def test_idempotency_keys_go_after_a_day_even_if_no_key_is_used(system: System, work: Any):
    work.launch({"evaluations": []})
    with system.database.write() as session:
        for key in ("old", "new"):
            idempotency.remember(session, Caller("ada", 1), key, "h", 1)
        row = session.scalars(select(IdempotencyRow).limit(1)).one()
        row.created_at -= idempotency.KEPT_SECONDS + 1
    reconciler.delete_old_rows(system)
    assert count(system.database, IdempotencyRow) == 1


def test_lines_of_logs_stay_unless_a_setting_limits_their_age(system: System, work: Any):
    (run_id,) = work.launch({"evaluations": []})
    with system.database.write() as session:
        at = now(session)
        logs.append(session, run_id, [(at - days * DAY, "info", f"{days} days ago") for days in (4000, 31, 29)])
    reconciler.delete_old_rows(system)
    with system.database.read() as session:
        assert len(logs.read(session, run_id)) == 3
    pruning.prune(system.database, pruning.Retention(log_days=30))
    with system.database.read() as session:
        assert [line.text for line in logs.read(session, run_id)] == ["29 days ago"]


def test_the_defaults_of_the_settings_are_those_of_the_reconciler(monkeypatch: pytest.MonkeyPatch):
    assert pruning.Retention.of(Settings()) == pruning.Retention()
    for name, value in (("AUDIT", 1), ("EVENT", 2), ("TASK", 3), ("LOG", 4)):
        monkeypatch.setenv(f"DENSITYLAB_{name}_DAYS", str(value))
    monkeypatch.setenv("DENSITYLAB_MAP_CACHE_MIB", "5")
    assert pruning.Retention.of(Settings()) == pruning.Retention(
        audit_days=1, event_days=2, task_days=3, log_days=4, map_bytes=5 * 2**20
    )
