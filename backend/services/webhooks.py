"""Send webhooks for events: signed, and only to public internet addresses unless the settings allow private ones.

The format is Standard Webhooks (https://www.standardwebhooks.com): the headers `webhook-id`,
`webhook-timestamp` and `webhook-signature`, which is `v1,` and the base64 of HMAC-SHA256 over
`{id}.{timestamp}.{body}`. The id is the same for every attempt, so that a receiver can discard duplicates.
"""

import base64
import hashlib
import hmac
import html
import http.client
import json
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from densitylab.backend.services.public_addresses import is_public
from densitylab.backend.shared.contracts import Event, EventType
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import InvalidField
from densitylab.backend.shared.store import webhooks

logger = logging.getLogger(__name__)
AT_ONCE = 16  # webhooks
TURN_SECONDS = 15.0  # after which a webhook with further deliveries waits behind the others
TIMEOUT_SECONDS = 5.0  # of each step of a delivery
DEADLINE_SECONDS = 15.0  # of a whole delivery, however slowly the receiver answers


class UnsafeWebhookUrl(InvalidField):
    """An address that webhooks must not be sent to; the message gives the reason."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "/url")


class WebhookSender:
    """Sends the deliveries of up to 16 webhooks side by side, those of one webhook in order: a slow or failing receiver
    delays no other.

    Args:
        database: with webhooks and events.
        allow_private: send to private addresses too.
    """

    def __init__(self, database: Database, *, allow_private: bool) -> None:
        self._database, self._allow_private = database, allow_private
        self._pool = ThreadPoolExecutor(AT_ONCE, "webhook")
        self._sending: dict[int, Future[None]] = {}  # by webhook

    def send_due(self) -> None:
        """Create deliveries for new events, and start to send those that are due.

        Raises:
            SQLAlchemyError: the database did not answer, now or since the last call.
        """
        with self._database.write() as session:
            webhooks.enqueue(session)
        with self._database.read() as session:
            waiting = webhooks.waiting(session)
        ended = [self._sending.pop(webhook) for webhook, future in list(self._sending.items()) if future.done()]
        for webhook in waiting:
            if webhook not in self._sending:
                self._sending[webhook] = self._pool.submit(self._send_all, webhook)
        for future in ended:
            future.result()

    def close(self) -> None:
        """Wait until the deliveries that are being sent have ended."""
        self._pool.shutdown(cancel_futures=True)

    def _send_all(self, webhook: int) -> None:
        """Attempt the due deliveries of a webhook, up to the first that fails."""
        until = time.monotonic() + TURN_SECONDS
        with self._database.read() as session:
            due = webhooks.due(session, webhook)
        for item in due:
            error = _send(item, self._allow_private)
            with self._database.write() as session:
                webhooks.sent(session, item.id, error)
            if error is not None or time.monotonic() > until:
                return


def resolve(url: str, *, allow_private: bool) -> tuple[str, int]:
    """Return the IP address and port that a delivery to `url` connects to.

    Raises:
        UnsafeWebhookUrl: it is no http(s) URL, or its host has no address or a private one.
    """
    try:
        parts = urlsplit(url)
        port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    except ValueError as error:
        raise UnsafeWebhookUrl(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or port == 0:
        raise UnsafeWebhookUrl("expected http://host/... or https://host/... without a user, and no port 0")
    try:
        candidates = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise UnsafeWebhookUrl(
            f"{parts.hostname} is no name of a host: expected 1 to 63 characters between two dots"
        ) from None
    except OSError as error:
        raise UnsafeWebhookUrl(f"{parts.hostname} has no address: {error.strerror}") from None
    addresses = [str(item[4][0]) for item in candidates]
    private = [address for address in addresses if not is_public(address)]
    if private and not allow_private:
        raise UnsafeWebhookUrl(
            f"{parts.hostname} is {private[0]}, which is not on the public internet; "
            "DENSITYLAB_WEBHOOK_PRIVATE=1 allows such addresses"
        )
    return addresses[0], port


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """Return the signature header of a delivery."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _send(item: webhooks.Due, allow_private: bool) -> str | None:
    """Attempt a delivery; return None if the receiver accepted it, else the error as printable text."""
    try:
        error = _attempt(item, allow_private)
    except UnsafeWebhookUrl as unsafe:
        error = unsafe.errors[0].detail
    except (OSError, http.client.HTTPException) as failure:
        error = f"{type(failure).__name__}: {failure}"
    except Exception as bug:  # whatever a receiver causes must not stop the deliveries to others
        logger.exception("unexpected error in the delivery %d", item.id)
        error = f"{type(bug).__name__}: {bug}"
    return None if error is None else _escaped(error)


def _escaped(text: str) -> str:
    """Return at most 500 characters of a text, with control characters escaped: databases refuse NUL."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:500])[:500]


def _attempt(item: webhooks.Due, allow_private: bool) -> str | None:
    body = _body(item)
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "DensityLab",
        "webhook-id": f"event_{item.event.id}",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(item.secret, f"event_{item.event.id}", timestamp, body),
    }
    parts = urlsplit(item.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    address, port = resolve(item.url, allow_private=allow_private)
    with socket.create_connection((address, port), TIMEOUT_SECONDS) as raw, raw.dup() as handle:
        # A receiver that sends single bytes slowly would never exceed the timeout of one step
        deadline = threading.Timer(DEADLINE_SECONDS, handle.shutdown, [socket.SHUT_RDWR])
        deadline.start()
        try:
            return _post(raw, parts.scheme, parts.hostname or "", port, target, body, headers)
        finally:
            deadline.cancel()


def _post(
    raw: socket.socket, scheme: str, host: str, port: int, target: str, body: bytes, headers: dict[str, str]
) -> str | None:
    connection = http.client.HTTPConnection(host, port)
    # Connect to the checked address: a second look-up of the name might give another one
    connection.sock = raw
    if scheme == "https":
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        connection.default_port = http.client.HTTPS_PORT
    try:
        connection.request("POST", target, body, headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    # Redirects are not followed: they could lead to a private address
    return None if 200 <= status < 300 else f"the receiver answered {status}"


def _body(item: webhooks.Due) -> bytes:
    event = item.event
    content: dict[str, Any]
    if item.format == "text":
        content = {"text": html.escape(sentence(event), quote=False)}  # else Slack reads <...> and &...; as its own
    else:
        content = {"type": event.type, "timestamp": event.at.isoformat(), "data": event.model_dump(mode="json")}
    return json.dumps(content, separators=(",", ":")).encode()


def sentence(event: Event) -> str:
    """Return what happened, for people."""
    if event.type is EventType.EXPERIMENT_FINISHED:
        return f"Experiment {event.experiment} is finished: every run and evaluation has ended."
    subject, _, status = event.type.partition(".")
    what = f"Run {event.run}" if subject == "run" else f"An evaluation of run {event.run}"
    text = f"{what} of experiment {event.experiment} {_VERBS[status]}"
    return f"{text}: {event.error}" if event.error else f"{text}."


_VERBS = {
    "queued": "is queued",
    "running": "has started",
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "measured": "is trained, and every evaluation has ended",
}
