"""Who may use the API, who changed what, and who is told."""

from backend.shared.contracts import (
    AuditLine,
    NewToken,
    NewWebhook,
    Token,
    TokenRequest,
    Webhook,
    WebhookDelivery,
    WebhookRequest,
)
from frontend.client.both import both
from frontend.client.sending import Listing, Sender


class AccessRoutes(Sender):
    @both
    async def tokens(self) -> list[Token]:
        """Every token that was given out, without what would let anybody in."""
        return (await self._list(Token, "/api/v1/tokens")).items

    @both
    async def create_token(self, request: TokenRequest) -> NewToken:
        """A new token, told in this answer alone."""
        return await self._post(NewToken, "/api/v1/tokens", request)

    @both
    async def revoke_token(self, token: int) -> Token:
        """Nobody gets in with it from now on."""
        return await self._delete(Token, f"/api/v1/tokens/{token}")

    @both
    async def audit(
        self, *, caller: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Listing[AuditLine]:
        """A page of the changes that were made through the API, newest first."""
        return await self._list(AuditLine, "/api/v1/audit", {"caller": caller, "limit": limit, "cursor": cursor})

    @both
    async def webhooks(self) -> list[Webhook]:
        return (await self._list(Webhook, "/api/v1/webhooks")).items

    @both
    async def create_webhook(self, request: WebhookRequest) -> NewWebhook:
        """Tells an address of every run that succeeds or fails; the secret is in this answer alone."""
        return await self._post(NewWebhook, "/api/v1/webhooks", request)

    @both
    async def delete_webhook(self, webhook: int) -> Webhook:
        return await self._delete(Webhook, f"/api/v1/webhooks/{webhook}")

    @both
    async def webhook_deliveries(self, webhook: int, *, limit: int = 50) -> list[WebhookDelivery]:
        """The newest, with what became of them."""
        query = {"limit": limit}
        return (await self._list(WebhookDelivery, f"/api/v1/webhooks/{webhook}/deliveries", query)).items
