"""Tokens and the audit log."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from densitylab.backend.shared.contracts.fields import Answer, Name, Request, visible

LOCAL_NAME = "local"  # the caller where no token is required


class TokenRequest(Request):
    """A token to make."""

    name: Annotated[Name, AfterValidator(visible)] = Field(
        description="the person or tool that will use it; no other token's name"
    )
    read_only: bool = Field(default=False, description="whether it may only read")


class Token(Answer):
    """A token of the API, without its secret."""

    id: int = Field(description="number of the token")
    name: str = Field(description="the person or tool that uses it")
    read_only: bool = Field(description="whether it may only read")
    created_at: datetime = Field(description="time of creation, UTC")
    revoked_at: datetime | None = Field(default=None, description="time of revocation, UTC; null: it is valid")


class NewToken(Token):
    """A new token with its secret."""

    token: str = Field(description="the secret; shown once, only its hash is stored")


class AuditLine(Answer):
    """A change made through the API."""

    id: int = Field(description="number of the line")
    at: datetime = Field(description="time of the request, UTC")
    caller: str = Field(description='the token\'s name; "administrator", or "local" if no token is required')
    token: int | None = Field(default=None, description="number of the token; null: none, or not known")
    method: str = Field(description="HTTP method")
    path: str = Field(description="path with the query")
    status: int = Field(description="HTTP status of the response")
    location: str | None = Field(default=None, description="path of the new resource; null: none was made")
    request_id: str = Field(description="the response's X-Request-ID")
