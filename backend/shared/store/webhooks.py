"""Webhooks and their deliveries, an outbox: a row for each event that a webhook is to be told."""

import base64
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.shared import contracts
from backend.shared.contracts import Status, TaskKind
from backend.shared.database import now
from backend.shared.store import events
from backend.shared.store.times import moment
from backend.shared.tables import DeliveryRow, EventRow, WebhookRow

RETRY_SECONDS = (5.0, 30.0, 300.0, 1800.0, 7200.0, 28800.0)  # after each attempt that failed; then it is given up
_TOLD = (Status.SUCCEEDED, Status.FAILED)


@dataclass(frozen=True)
class Due:
    """What is to be sent now."""

    id: int
    url: str
    secret: str
    event: contracts.Event


def create(session: Session, url: str) -> contracts.NewWebhook:
    """From now on every run that succeeds or fails is told to `url`."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    row = WebhookRow(url=url, secret=secret, seen_event=events.head(session), created_at=now(session))
    session.add(row)
    session.flush()
    return contracts.NewWebhook(**_answer(row).model_dump(), secret=secret)


def listing(session: Session) -> list[contracts.Webhook]:
    return [_answer(row) for row in session.scalars(select(WebhookRow).order_by(WebhookRow.id))]


def remove(session: Session, webhook_id: int) -> contracts.Webhook | None:
    """Removes it with its deliveries; None where there is none."""
    row = session.get(WebhookRow, webhook_id)
    if row is None:
        return None
    session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))
    return _answer(row)


def deliveries(session: Session, webhook_id: int, limit: int) -> list[contracts.WebhookDelivery] | None:
    """The newest first; None where there is no such webhook."""
    if session.get(WebhookRow, webhook_id) is None:
        return None
    rows = session.execute(
        select(DeliveryRow, EventRow).join(EventRow, DeliveryRow.event_id == EventRow.id)
        .where(DeliveryRow.webhook_id == webhook_id).order_by(DeliveryRow.id.desc()).limit(limit)
    )
    return [
        contracts.WebhookDelivery(
            id=row.id, event=events.answer(event), attempts=row.attempts, delivered_at=moment(row.delivered_at),
            next_attempt_at=moment(row.due_at), error=row.error,
        )
        for row, event in rows
    ]


def enqueue(session: Session) -> int:
    """Makes a delivery of each run that has ended since a webhook last looked; returns how many."""
    made = 0
    for webhook in session.scalars(select(WebhookRow).with_for_update()):
        found = events.since(session, webhook.seen_event)
        for event in found:
            if event.kind == TaskKind.TRAIN and event.status in _TOLD:
                session.add(DeliveryRow(webhook_id=webhook.id, event_id=event.id, attempts=0, due_at=now(session)))
                made += 1
        if found:
            webhook.seen_event = found[-1].id
    return made


def due(session: Session, limit: int = 20) -> list[Due]:
    """Those whose time has come, the longest waiting first."""
    rows = session.execute(
        select(DeliveryRow, WebhookRow, EventRow).join(WebhookRow, DeliveryRow.webhook_id == WebhookRow.id)
        .join(EventRow, DeliveryRow.event_id == EventRow.id)
        .where(DeliveryRow.due_at <= now(session)).order_by(DeliveryRow.due_at).limit(limit)
    )
    return [
        Due(row.id, webhook.url, webhook.secret, events.answer(event)) for row, webhook, event in rows
    ]


def sent(session: Session, delivery_id: int, error: str | None) -> None:
    """Notes an attempt: delivered where there is no error, else to be tried again later."""
    row = session.get(DeliveryRow, delivery_id)
    if row is None:
        return  # the webhook was removed meanwhile
    at = now(session)
    row.error, row.delivered_at, row.due_at = error, None if error else at, None
    if error and row.attempts < len(RETRY_SECONDS):
        row.due_at = at + RETRY_SECONDS[row.attempts]
    row.attempts += 1


def _answer(row: WebhookRow) -> contracts.Webhook:
    return contracts.Webhook(id=row.id, url=row.url, created_at=moment(row.created_at))
