"""Tells webhooks what has ended: signed, to addresses of the public internet unless the settings allow others.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): the headers `webhook-id`,
`webhook-timestamp` and `webhook-signature`, which is `v1,` and the base64 of HMAC-SHA256 over
`{id}.{timestamp}.{body}`. The id stays the same over the attempts, so a receiver knows what it has had already.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from backend.shared.contracts import Event
from backend.shared.database import Database
from backend.shared.store import webhooks

TIMEOUT_SECONDS = 5.0  # of each step of a delivery
DEADLINE_SECONDS = 15.0  # of a whole one, however slowly the receiver answers


class Refused(ValueError):
    """The address is not one to deliver to; the message says why."""


def send_due(database: Database, *, allow_private: bool) -> None:
    """Makes the deliveries that have become due, and tries those whose time has come."""
    with database.write() as session:
        webhooks.enqueue(session)
    with database.read() as session:
        due = webhooks.due(session)
    for item in due:
        error = _send(item, allow_private)
        with database.write() as session:
            webhooks.sent(session, item.id, error)


def resolve(url: str, *, allow_private: bool) -> tuple[str, int]:
    """The one address to which a delivery to `url` may connect, and the port.

    Raises:
        Refused: it is no http(s) URL, its name has no address, or one that only this network can reach.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Refused(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise Refused("expected http://host/... or https://host/... without a user")
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{parts.hostname} has no address: {error}") from None
    addresses = [str(item[4][0]) for item in found]
    private = [address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_global]
    if private and not allow_private:
        raise Refused(
            f"{parts.hostname} is {private[0]}, which is not on the public internet; "
            "DENSITYLAB_WEBHOOK_PRIVATE=1 allows such addresses"
        )
    return addresses[0], port


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _send(item: webhooks.Due, allow_private: bool) -> str | None:
    """One attempt; None if the receiver took it, else what was wrong."""
    body = _body(item.event)
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json", "User-Agent": "DensityLab", "webhook-id": f"event_{item.event.id}",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(item.secret, f"event_{item.event.id}", timestamp, body),
    }
    parts = urlsplit(item.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        address, port = resolve(item.url, allow_private=allow_private)
        with socket.create_connection((address, port), TIMEOUT_SECONDS) as raw, raw.dup() as handle:
            # A receiver that sends a byte now and then would keep every single step within its time
            deadline = threading.Timer(DEADLINE_SECONDS, handle.shutdown, [socket.SHUT_RDWR])
            deadline.start()
            try:
                return _post(raw, parts.scheme, parts.hostname or "", port, target, body, headers)
            finally:
                deadline.cancel()
    except (Refused, OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:500]


def _post(
    raw: socket.socket, scheme: str, host: str, port: int, target: str, body: bytes, headers: dict[str, str]
) -> str | None:
    connection = http.client.HTTPConnection(host, port)
    # The address was looked up once and judged: the name is not asked for again, where it might have changed
    connection.sock = raw
    if scheme == "https":
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        connection.default_port = http.client.HTTPS_PORT
    try:
        connection.request("POST", target, body, headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    # A redirect is not followed: it may lead anywhere
    return None if 200 <= status < 300 else f"the receiver answered {status}"


def _body(event: Event) -> bytes:
    content = {"type": event.type, "timestamp": event.at.isoformat(), "data": event.model_dump(mode="json")}
    return json.dumps(content, separators=(",", ":")).encode()
