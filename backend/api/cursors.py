"""Opaque cursors: where a listing goes on. What comes back is as untrusted as any input."""

import base64
import binascii
import json
import math
from typing import Any

from backend.shared.contracts import FieldError, Status
from backend.shared.specs import InvalidRequest

_MAX_ID = 2**31 - 1


def encode(sort: str, key: Any, number: int) -> str:
    """A cursor after the item with this sort key and id, of a listing sorted by `sort`."""
    text = json.dumps([sort, key, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, sort: str) -> tuple[Any, int]:
    """(sort key, id) of the last item seen. Raises InvalidRequest for a cursor that no listing by `sort` gave."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or len(content) != 3 or content[0] != sort:
        raise _refused(sort)
    _, key, number = content
    if not _is_id(number) or not _is_key(sort.removeprefix("-"), key):
        raise _refused(sort)
    return key, number


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID


def _is_key(sort: str, key: Any) -> bool:
    if sort in ("id", "offset"):
        return _is_id(key)
    if sort == "status":
        return isinstance(key, str) and key in set(Status)
    if key is None:
        return sort.startswith(("results.", "metrics."))
    if isinstance(key, bool) or not isinstance(key, int | float):
        return False
    return abs(key) <= 2**1000 and math.isfinite(key)


def _refused(sort: str) -> InvalidRequest:
    return InvalidRequest([FieldError(
        pointer="/query/cursor",
        detail=f"expected the next_cursor of a page of this listing, sorted by {sort}; start again without a cursor",
    )])
