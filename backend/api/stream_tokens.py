"""Tokens for browsers' EventSource, which cannot send headers: they open event streams alone, for a minute.

A token is `st-CALLER-EXPIRY-SIGNATURE`: the number of the caller's token (0: the administrator), seconds since the
epoch, and an HMAC of both with a key that all API processes derive from DENSITYLAB_API_TOKEN. Nothing is stored.
"""

import hashlib
import hmac
import re

from densitylab.backend.shared.callers import Caller

PATHS = re.compile(r"/api/v1/(runs/[^/]+/)?events")
"""The paths of event streams."""
SECONDS = 60
_FORM = re.compile(r"st-(0|[1-9][0-9]{0,9})-([0-9]{1,12})-([0-9a-f]{64})")


def create(key: bytes, caller: Caller, expires: int) -> str:
    """Return a token of the caller that is valid until `expires`, in seconds since the epoch."""
    return f"st-{caller.token or 0}-{expires}-{_signature(key, caller.token or 0, expires)}"


def check(key: bytes, token: str, now: float) -> int | None:
    """Return the number of the token that a valid stream token belongs to, 0 for the administrator's; None if it is not
    valid."""
    form = _FORM.fullmatch(token)
    if form is None:
        return None
    number, expires = int(form[1]), int(form[2])
    if now >= expires or not hmac.compare_digest(form[3], _signature(key, number, expires)):
        return None
    return number


def _signature(key: bytes, number: int, expires: int) -> str:
    return hmac.digest(key, f"stream {number} {expires}".encode(), hashlib.sha256).hex()
