"""Short-lived tokens for the event streams of browsers."""

import time
from datetime import UTC, datetime

from fastapi import Response
from pydantic import Field

from densitylab.backend.api import stream_tokens
from densitylab.backend.api.dependencies import CallerDep, SettingsDep
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.shared.contracts import Answer

router = resource_router("events", "/stream-tokens")


class StreamToken(Answer):
    """A token that opens event streams."""

    token: str = Field(description="value of the parameter `stream_token`")
    expires_at: datetime = Field(description="time until which a stream can be opened with it, UTC")


@router.post("")
def create_stream_token(response: Response, settings: SettingsDep, caller: CallerDep) -> StreamToken:
    """Create a token for browsers' EventSource, which cannot send headers: with `?stream_token=` it opens event streams
    for a minute, and nothing else. An open stream goes on; it ends when the caller's own token is revoked."""
    expires = int(time.time()) + stream_tokens.SECONDS
    secret = settings.api_token.get_secret_value().encode() if settings.api_token else b""
    response.headers["Cache-Control"] = "no-store"
    return StreamToken(
        token=stream_tokens.create(secret, caller, expires), expires_at=datetime.fromtimestamp(expires, UTC)
    )
