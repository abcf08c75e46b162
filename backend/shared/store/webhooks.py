"""Webhooks and the outbox of their deliveries: a row for each event to send to a webhook."""

import base64
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, delete, func, or_, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import events
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import DeliveryRow, WebhookRow

RETRY_SECONDS = (5.0, 30.0, 300.0, 1800.0, 7200.0, 28800.0)  # after each failed attempt; then the delivery is abandoned
_WAIT = case(*((DeliveryRow.attempts == number, wait) for number, wait in enumerate(RETRY_SECONDS, 1)), else_=0.0)


@dataclass(frozen=True)
class Due:
    """A delivery to attempt now."""

    id: int
    url: str
    secret: str
    format: str
    event: contracts.Event


def create(session: Session, request: contracts.WebhookRequest, owner: Caller) -> int:
    """Insert a webhook for the events from now on; return its id."""
    row = WebhookRow(
        url=request.url,
        events=list(dict.fromkeys(request.events)),
        format=request.format,
        secret=new_secret(),
        seen_event=events.head(session),
        owner=owner.name,
        owner_token=owner.token,
        created_at=now(session),
    )
    session.add(row)
    session.flush()
    return row.id


def get(session: Session, webhook_id: int) -> contracts.NewWebhook | None:
    """Return the webhook with its secret."""
    row = session.get(WebhookRow, webhook_id)
    return None if row is None else contracts.NewWebhook(**_answer(row).model_dump(), secret=row.secret)


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def listing(session: Session, caller: Caller) -> list[contracts.Webhook]:
    """Return the webhooks that the caller may change."""
    statement = select(WebhookRow).order_by(WebhookRow.id)
    if not caller.changes_all:
        statement = statement.where(WebhookRow.owner_token == caller.token)
    return [_answer(row) for row in session.scalars(statement)]


def remove(session: Session, webhook_id: int) -> contracts.Webhook | None:
    """Delete the webhook with its deliveries; return None if there is none."""
    row = session.get(WebhookRow, webhook_id)
    if row is None:
        return None
    session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))
    return _answer(row)


def deliveries(session: Session, webhook_id: int, limit: int) -> list[contracts.WebhookDelivery] | None:
    """Return deliveries, newest first; None if there is no such webhook."""
    if session.get(WebhookRow, webhook_id) is None:
        return None
    rows = session.scalars(
        select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id).order_by(DeliveryRow.id.desc()).limit(limit)
    ).all()
    told = events.by_id(session, [row.event_id for row in rows])
    return [
        contracts.WebhookDelivery(
            id=row.id,
            event=told[row.event_id],
            attempts=row.attempts,
            delivered_at=to_datetime(row.delivered_at),
            next_attempt_at=to_datetime(row.due_at),
            error=row.error,
        )
        for row in rows
    ]


def enqueue(session: Session) -> int:
    """Insert a delivery for each event since the last call that a webhook asks for; return their number."""
    count = 0
    for webhook in session.scalars(select(WebhookRow).with_for_update()):
        new = events.since(session, webhook.seen_event)
        for event in new:
            if events.answer(event).type in webhook.events:
                session.add(DeliveryRow(webhook_id=webhook.id, event_id=event.id, attempts=0, due_at=now(session)))
                count += 1
        if new:
            webhook.seen_event = new[-1].id
    return count


def waiting(session: Session) -> list[int]:
    """Return the webhooks with deliveries that are due, the longest waiting first."""
    statement = select(DeliveryRow.webhook_id).where(_is_due(session)).group_by(DeliveryRow.webhook_id)
    return list(session.scalars(statement.order_by(func.min(DeliveryRow.due_at))))


def due(session: Session, webhook_id: int, limit: int = 20) -> list[Due]:
    """Return the deliveries of a webhook that are due, the longest waiting first."""
    rows = session.execute(
        select(DeliveryRow, WebhookRow)
        .join(WebhookRow, DeliveryRow.webhook_id == WebhookRow.id)
        .where(DeliveryRow.webhook_id == webhook_id, _is_due(session))
        .order_by(DeliveryRow.due_at, DeliveryRow.id)
        .limit(limit)
    ).all()
    told = events.by_id(session, [row.event_id for row, _ in rows])
    return [Due(row.id, webhook.url, webhook.secret, webhook.format, told[row.event_id]) for row, webhook in rows]


def _is_due(session: Session) -> ColumnElement[bool]:
    at = now(session)
    # One that is due later than its next attempt can be was planned before the clock was set back
    return or_(DeliveryRow.due_at <= at, DeliveryRow.due_at > at + _WAIT)


def sent(session: Session, delivery_id: int, error: str | None) -> None:
    """Record an attempt: delivered if there is no error, else to be tried again later."""
    row = session.get(DeliveryRow, delivery_id)
    if row is None:
        return  # the webhook was removed meanwhile
    at = now(session)
    row.error, row.delivered_at, row.due_at = error, None if error else at, None
    if error and row.attempts < len(RETRY_SECONDS):
        row.due_at = at + RETRY_SECONDS[row.attempts]
    row.attempts += 1


def _answer(row: WebhookRow) -> contracts.Webhook:
    return contracts.Webhook(
        id=row.id,
        url=row.url,
        events=[contracts.EventType(name) for name in row.events],
        format=row.format,
        owner=row.owner,
        created_at=to_datetime(row.created_at),
    )
