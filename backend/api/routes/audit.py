"""Audit log: changes made through the API, and by whom."""

from typing import Annotated

from fastapi import Depends, Query

from densitylab.backend.api import cursors
from densitylab.backend.api.authorization import require_full
from densitylab.backend.api.dependencies import Cursor, Limit, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import AuditLine
from densitylab.backend.shared.store import audit

router = resource_router("access", "/audit", dependencies=[Depends(require_full)])
_SORT = "-id"


class AuditPage(contracts.Page[AuditLine]):
    """A page of the log of changes."""


@router.get("", responses=responses(422))
def list_changes(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    caller: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="a token's name")] = None,
) -> AuditPage:
    """Return the changes, newest first. Read-only tokens do not see them."""
    before = None if cursor is None else cursors.decode(cursor, _SORT)[1]
    lines = audit.listing(session, before=before, limit=limit + 1, caller=caller)
    items = lines[:limit]
    more = cursors.encode(_SORT, items[-1].id, items[-1].id) if len(lines) > limit else None
    return AuditPage(items=items, next_cursor=more)
