"""The clock was set back by an hour: what was written before lies in the future."""

from typing import Any

from rq import SimpleWorker
from sqlalchemy import text, update

from densitylab.backend import reconciler
from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import TRAINING_QUEUES, QueueName, Status
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.store import events, outbox, runs, tasks, webhooks
from densitylab.backend.shared.tables import DeliveryRow, EventRow, TaskRow, WebhookRow

HOUR = 3600.0


def test_a_lease_is_reclaimed_at_once(work: Any, system: System):
    dead, alive = work.launch({"evaluations": []}, {"seed": [0, 1]})
    first, second = work.start(dead, lease_seconds=HOUR), work.start(alive)
    reconciler.reclaim_expired_leases(system)
    assert _statuses(system.database, first.task_id, second.task_id) == [Status.QUEUED, Status.RUNNING]
    assert work.start(dead).attempt == 2


def test_a_job_claims_it_before_it_is_reclaimed(work: Any):
    (run_id,) = work.launch()
    work.start(run_id, lease_seconds=HOUR)
    assert work.start(run_id).attempt == 2


def test_a_cancel_becomes_hard(work: Any, system: System):
    (run_id,) = work.launch()
    held = work.start(run_id)
    with system.database.write() as session:
        tasks.request_cancel(session, held.task_id)
        session.execute(update(TaskRow).values(cancel_requested_at=TaskRow.cancel_requested_at + HOUR))
    reconciler.kill_overdue_cancels(system)
    assert _statuses(system.database, held.task_id) == [Status.CANCELLED]


def test_readers_pass_a_gap_among_events(work: Any, database: Database):
    work.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    with database.write() as session:
        first, second, third = (row.id for row in events.since(session, 0))
        session.delete(session.get_one(EventRow, second))
        session.flush()
        assert [row.id for row in events.since(session, 0)] == [first], "it may be written yet"
        session.execute(update(EventRow).values(at=EventRow.at + HOUR))
        assert [row.id for row in events.since(session, 0)] == [first, third]


def test_a_webhook_is_tried_again(work: Any, database: Database):
    work.launch({"evaluations": []})
    with database.write() as session:
        hook = WebhookRow(
            url="http://example.org", secret="whsec_", events=[], format="event", seen_event=0, created_at=now(session)
        )
        session.add(hook)
        session.flush()
        event = events.since(session, 0)[0]
        for attempts, ahead in ((0, 0.0), (1, 4.0), (1, HOUR), (5, 7000.0), (5, 7200.0 + HOUR)):
            row = DeliveryRow(webhook_id=hook.id, event_id=event.id, attempts=attempts, due_at=now(session) + ahead)
            session.add(row)
            session.flush()
    with database.read() as session:
        (webhook_id,) = webhooks.waiting(session)
        assert sorted(item.id for item in webhooks.due(session, webhook_id)) == [1, 3, 5]


def test_positions_are_those_in_the_queue(work: Any, system: System):
    before, after = work.launch({"evaluations": []}, {"seed": [0, 1]})
    with system.database.write() as session:
        first, second = runs.train_task(session, before), runs.train_task(session, after)
        session.execute(update(TaskRow).where(TaskRow.id == second).values(status=Status.CANCELLED))
        outbox.take(session, 500)
        session.execute(update(TaskRow).values(delivered_at=TaskRow.delivered_at + HOUR))
        session.execute(update(TaskRow).where(TaskRow.id == second).values(status=Status.QUEUED))
        outbox.take(session, 500)
        assert outbox.queue_positions(session, [first, second]) == {first: 1, second: 2}


def test_a_dead_worker_is_not_counted(system: System, rq_queues: Any):
    queues = rq_queues(TRAINING_QUEUES)
    worker = SimpleWorker(queues, connection=queues[0].connection, name="w", worker_ttl=30)
    worker.register_birth()
    assert system.queue.workers()[QueueName.TRAIN] == 1
    queues[0].connection.expire(worker.key, 90 + int(HOUR))
    assert system.queue.workers()[QueueName.TRAIN] == 0


def _statuses(database: Database, *task_ids: int) -> list[str]:
    with database.read() as session:
        rows = dict(session.execute(text("SELECT id, status FROM tasks")).all())
    return [rows[task_id] for task_id in task_ids]
