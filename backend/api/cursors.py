"""Opaque cursors for the pages of a listing. A cursor from a client is untrusted input."""

import base64
import binascii
import json
import math
from typing import Any

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.errors import InvalidField

_MAX_ID = 2**31 - 1


def encode(sort: str, key: Any, number: int) -> str:
    """Return a cursor after the item with this sort key and id, for a listing sorted by `sort`."""
    text = json.dumps([sort, key, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, sort: str) -> tuple[Any, int]:
    """Return (sort key, id) of the page's last item. Raises InvalidField for another cursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or len(content) != 3 or content[0] != sort:
        raise _invalid(sort)
    _, key, number = content
    if not _is_id(number) or not _is_key(sort.removeprefix("-"), key):
        raise _invalid(sort)
    return float(key) if isinstance(key, int) and sort.removeprefix("-") not in ("id", "offset") else key, number


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID


def _is_key(sort: str, key: Any) -> bool:
    if sort in ("id", "offset"):
        return _is_id(key)
    if sort == "status":
        return isinstance(key, str) and key in set(Status)
    if key is None:
        return sort == "lambda_" or sort.startswith(("results.", "metrics."))
    if isinstance(key, bool) or not isinstance(key, int | float):
        return False
    return abs(key) <= 2**1000 and math.isfinite(key)


def _invalid(sort: str) -> InvalidField:
    return InvalidField(
        f"expected the next_cursor of a page of this listing, sorted by {sort}; start again without a cursor",
        "/query/cursor",
    )
