"""Check downloaded files."""

import base64
import hashlib
import re

import httpx

from densitylab.frontend.client.errors import ApiError

_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def whole_content(answer: httpx.Response) -> bytes:
    """Return the content of a file. Raises ApiError if it does not agree with the checksum that the API sent."""
    if sent_digest(answer) not in (None, hashlib.sha256(answer.content).digest()):
        raise changed()
    return answer.content


def sent_digest(answer: httpx.Response) -> bytes | None:
    """Return the SHA-256 of the whole file from Repr-Digest (RFC 9530); None if the API sent none."""
    sent = _SHA256.search(answer.headers.get("Repr-Digest", ""))
    return base64.b64decode(sent[1]) if sent is not None else None


def changed() -> ApiError:
    return ApiError(200, "The file changed on its way from the API: download it again.")
