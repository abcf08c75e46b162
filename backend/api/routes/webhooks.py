"""Webhooks: URLs that get a request when something happens."""

from typing import Annotated

from fastapi import Depends, Path, Response
from sqlalchemy.orm import Session

from densitylab.backend.api.authorization import require_full
from densitylab.backend.api.dependencies import CallerDep, DatabaseDep, Limit, Reading, SettingsDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services.idempotency import DeletedSince, once
from densitylab.backend.services.webhooks import resolve
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import NewWebhook, Webhook, WebhookDelivery, WebhookRequest
from densitylab.backend.shared.errors import NotFound
from densitylab.backend.shared.store import webhooks

router = resource_router("events", "/webhooks", dependencies=[Depends(require_full)])
WebhookId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the webhook")]


class WebhookPage(contracts.Page[Webhook]):
    """A page of webhooks."""


class DeliveryPage(contracts.Page[WebhookDelivery]):
    """A page of deliveries."""


@router.get("")
def list_webhooks(session: Reading, caller: CallerDep) -> WebhookPage:
    """Return the webhooks that the caller may change, without their secrets. Read-only tokens see none."""
    return WebhookPage(items=webhooks.listing(session, caller))


@router.post("", status_code=201, responses=responses(400, 409, 413, 422))
def create_webhook(
    body: WebhookRequest, response: Response, database: DatabaseDep, settings: SettingsDep, key: IdempotencyKey
) -> NewWebhook:
    """Send a webhook to `url` for each chosen event, signed as Standard Webhooks defines with the secret given here.
    Private addresses are refused, now and at each delivery, unless DENSITYLAB_WEBHOOK_PRIVATE is set."""
    resolve(body.url, allow_private=settings.webhook_private)

    def make(session: Session) -> int:
        return webhooks.create(session, body, key.caller)

    webhook_id = once(database, key, {"webhook": body.model_dump(mode="json")}, make).made
    with database.read() as session:
        answer = webhooks.get(session, webhook_id)
    if answer is None:
        raise DeletedSince(f"webhook {webhook_id}")
    response.headers["Location"] = f"/api/v1/webhooks/{webhook_id}"
    response.headers["Cache-Control"] = "no-store"
    return answer


@router.get("/{webhook_id}", responses=responses(404, 422))
def get_webhook(webhook_id: WebhookId, session: Reading) -> Webhook:
    """Return a webhook without its secret."""
    answer = webhooks.get(session, webhook_id)
    if answer is None:
        raise NotFound("webhook", webhook_id, "/path/webhook_id")
    return Webhook(**answer.model_dump())


@router.delete("/{webhook_id}", responses=responses(404, 422))
def delete_webhook(webhook_id: WebhookId, database: DatabaseDep) -> Webhook:
    """Delete the webhook, with its pending deliveries."""
    with database.write() as session:
        answer = webhooks.remove(session, webhook_id)
        if answer is None:
            raise NotFound("webhook", webhook_id, "/path/webhook_id")
    return answer


@router.get("/{webhook_id}/deliveries", responses=responses(404, 422))
def list_deliveries(webhook_id: WebhookId, session: Reading, limit: Limit = 50) -> DeliveryPage:
    """Return the deliveries with their outcomes, newest first."""
    items = webhooks.deliveries(session, webhook_id, limit)
    if items is None:
        raise NotFound("webhook", webhook_id, "/path/webhook_id")
    return DeliveryPage(items=items)
