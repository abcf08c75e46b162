"""Tokens, the audit log and webhooks."""

from densitylab.backend.shared.contracts import (
    AuditLine,
    NewToken,
    NewWebhook,
    Token,
    TokenRequest,
    Webhook,
    WebhookDelivery,
    WebhookRequest,
)
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.transport import Listing, Sender


class AccessRoutes(Sender):
    @sync_and_async
    async def tokens(self) -> list[Token]:
        """Return all tokens, without their secrets."""
        return (await self._list(Token, "/api/v1/tokens")).items

    @sync_and_async
    async def create_token(self, request: TokenRequest) -> NewToken:
        """Create a token. Its secret is in this answer only."""
        return await self._make(NewToken, "/api/v1/tokens", request)

    @sync_and_async
    async def revoke_token(self, token: int) -> Token:
        """Revoke a token at once."""
        return await self._delete(Token, f"/api/v1/tokens/{token}")

    @sync_and_async
    async def audit(
        self, *, caller: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Listing[AuditLine]:
        """Return a page of the changes made through the API, newest first."""
        return await self._list(AuditLine, "/api/v1/audit", {"caller": caller, "limit": limit, "cursor": cursor})

    @sync_and_async
    async def webhooks(self) -> list[Webhook]:
        return (await self._list(Webhook, "/api/v1/webhooks")).items

    @sync_and_async
    async def create_webhook(self, request: WebhookRequest) -> NewWebhook:
        """Create a webhook, called when a run succeeds or fails. Its secret is in this answer only."""
        return await self._make(NewWebhook, "/api/v1/webhooks", request)

    @sync_and_async
    async def delete_webhook(self, webhook: int) -> Webhook:
        return await self._delete(Webhook, f"/api/v1/webhooks/{webhook}")

    @sync_and_async
    async def webhook_deliveries(self, webhook: int, *, limit: int = 50) -> list[WebhookDelivery]:
        """Return the newest deliveries with their outcomes."""
        query = {"limit": limit}
        return (await self._list(WebhookDelivery, f"/api/v1/webhooks/{webhook}/deliveries", query)).items
