"""Webhooks: addresses that are told of every run that succeeds or fails."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend import webhooks as sending
from backend.api.dependencies import DatabaseDep, Limit, Reading, SettingsDep
from backend.api.problems import not_found, responses
from backend.shared import contracts
from backend.shared.contracts import FieldError, NewWebhook, Webhook, WebhookDelivery, WebhookRequest
from backend.shared.specs import InvalidRequest
from backend.shared.store import webhooks

router = APIRouter(prefix="/webhooks", tags=["events"])
WebhookId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class WebhookPage(contracts.Page):
    items: list[Webhook]


class DeliveryPage(contracts.Page):
    items: list[WebhookDelivery]


@router.get("")
def list_webhooks(session: Reading) -> WebhookPage:
    return WebhookPage(items=webhooks.listing(session))


@router.post("", status_code=201, responses=responses(400, 413, 422))
def create_webhook(
    body: WebhookRequest, response: Response, database: DatabaseDep, settings: SettingsDep
) -> NewWebhook:
    """Tells `url` from now on, signed as Standard Webhooks has it with the secret of this answer. Private addresses
    are refused, now and at each delivery, unless DENSITYLAB_WEBHOOK_PRIVATE is set."""
    try:
        sending.resolve(body.url, allow_private=settings.webhook_private)
    except sending.Refused as refused:
        raise InvalidRequest([FieldError(pointer="/url", detail=str(refused))]) from None
    with database.write() as session:
        answer = webhooks.create(session, body.url)
    response.headers["Location"] = f"/api/v1/webhooks/{answer.id}/deliveries"
    response.headers["Cache-Control"] = "no-store"
    return answer


@router.delete("/{webhook_id}", responses=responses(404, 422))
def delete_webhook(webhook_id: WebhookId, database: DatabaseDep) -> Webhook:
    """It is told nothing any more, also not what waits for another attempt."""
    with database.write() as session:
        answer = webhooks.remove(session, webhook_id)
        if answer is None:
            raise not_found("webhook", webhook_id, "/path/webhook_id")
    return answer


@router.get("/{webhook_id}/deliveries", responses=responses(404, 422))
def list_deliveries(webhook_id: WebhookId, session: Reading, limit: Limit = 50) -> DeliveryPage:
    """The newest first, with what became of them."""
    found = webhooks.deliveries(session, webhook_id, limit)
    if found is None:
        raise not_found("webhook", webhook_id, "/path/webhook_id")
    return DeliveryPage(items=found)
