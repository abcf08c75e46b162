"""What was changed through the API, and by whom."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.api import cursors
from backend.api.dependencies import Cursor, Limit, Reading
from backend.api.problems import responses
from backend.shared import contracts
from backend.shared.contracts import AuditLine
from backend.shared.store import audit

router = APIRouter(prefix="/audit", tags=["access"])
_SORT = "-id"


class AuditPage(contracts.Page):
    items: list[AuditLine]


@router.get("", responses=responses(422))
def list_changes(
    session: Reading, limit: Limit = 50, cursor: Cursor = None,
    caller: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="a token's name")] = None,
) -> AuditPage:
    """Newest first."""
    before = None if cursor is None else cursors.decode(cursor, _SORT)[1]
    found = audit.listing(session, before=before, limit=limit + 1, caller=caller)
    items = found[:limit]
    more = cursors.encode(_SORT, items[-1].id, items[-1].id) if len(found) > limit else None
    return AuditPage(items=items, next_cursor=more)
