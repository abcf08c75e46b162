"""Who may use the API, and who changed what."""

from datetime import datetime

from backend.shared.contracts.fields import Answer, Name, Request


class TokenRequest(Request):
    name: Name  # of the person or the tool that will use it
    read_only: bool = False


class Token(Answer):
    id: int
    name: str
    read_only: bool
    created_at: datetime
    revoked_at: datetime | None = None


class NewToken(Token):
    token: str  # told this once; only its hash is kept


class AuditLine(Answer):
    """One change that was made through the API."""

    id: int
    at: datetime
    caller: str  # the token's name; "local" where no token is asked for
    method: str
    path: str  # with the query
    status: int
    location: str | None = None  # of what was made
    request_id: str  # the answer's X-Request-ID
