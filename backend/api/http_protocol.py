"""uvicorn's HTTP protocol with limits for clients that are slow, send too much, or do not read."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from densitylab.backend.api.client_address import client_address
from densitylab.backend.api.connections import Connections
from densitylab.backend.api.errors import respond

PERIOD_SECONDS = 10.0
MIN_RATE = 1024  # bytes per second of a body
# Periods in a row after which a slow connection is closed
_PATIENCE = {"slow headers": 2, "slow body": 2, "slow reader": 6}
MAX_HEADER_BYTES = 2**16
MAX_HEADERS = 100
MAX_PIPELINED = 16
# Read and discarded of a body after its response: a client that is still sending would miss the response
MAX_UNREAD_BYTES = 2**26


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed, counted and logged when

    - the headers of a request are not complete after 20 seconds, or have more than 64 KiB or 100 fields;
    - a body comes with less than 1 KiB per second for 20 seconds;
    - more than 64 MiB of a body follow its response;
    - the client reads nothing of a response for a minute;
    - the bytes are not HTTP/1, or more than 16 further requests are sent before a response;
    - there are too many connections (see `Connections`).
    """

    def __init__(
        self,
        open_connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self._open_connections = open_connections
        self._answering: RequestResponseCycle | None = None  # the request that the application has
        self._receiving: str | None = "headers"  # or "body"; None between requests
        self._received = 0  # bytes in this period
        self._overhead = 0  # bytes since the last part of a body
        self._unread = 0  # bytes of a body after its response
        self._unsent = 0  # bytes of responses at the last check
        self._slow_periods = 0

    # ---- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = client_address(self.client)
        self._timer = self.loop.call_later(PERIOD_SECONDS, self._check)
        self._open_connections.opened(self, transport.get_extra_info("socket").fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._unset_keepalive_if_required()
        self._open_connections.closed(self)
        self._disconnect()
        super().connection_lost(exc)

    def refuse(self, status: int, reason: str) -> None:
        """Close the connection, with this status if no response has begun."""
        self._open_connections.refused(self, reason)
        between = self.cycle is not None and self.cycle.response_complete and self._receiving is None
        answer = self._answering
        within = answer is not None and answer.response_started and not answer.response_complete
        if not between and not within:  # else it would be read as the response to another request
            response = respond(status, f"the connection was closed: {reason}", headers={"Connection": "close"})
            headers = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
            line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
            self.transport.write(line + headers + b"\r\n" + bytes(response.body))
        self._disconnect()
        self.transport.close()

    def _disconnect(self) -> None:
        """Let the application see that the client is gone: uvicorn tells the last of pipelined requests only."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _check(self) -> None:
        """Close the connection if its client has been slow for several periods."""
        self._timer = self.loop.call_later(PERIOD_SECONDS, self._check)
        unsent = self.transport.get_write_buffer_size()
        slow = None
        if unsent and unsent == self._unsent and (self.flow.write_paused or self.transport.is_closing()):
            slow = "slow reader"
        elif self._receiving == "headers" and not self.flow.read_paused:
            slow = "slow headers"
        elif self._receiving == "body" and not self.flow.read_paused and self._received < MIN_RATE * PERIOD_SECONDS:
            slow = "slow body"
        self._unsent, self._received = unsent, 0
        self._slow_periods = self._slow_periods + 1 if slow else 0
        if slow and self._slow_periods >= _PATIENCE[slow]:
            if slow == "slow reader":
                self._open_connections.refused(self, slow)
                self.transport.abort()
            elif not self.transport.is_closing():
                self.refuse(408, slow)

    # ---- its requests ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._receiving is None:
            self._await_headers()
        if self._receiving == "body" or self.cycle is None or self.cycle.response_complete:
            self._open_connections.wait(self)
        self._received += len(data)
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.refuse(431, "headers")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._receiving is None:  # pipelined
            self._await_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving == "headers":  # else a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS or len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many headers or requests")  # the parser stops, and the client gets 400
        self._receiving = "body"
        self._overhead = self._unread = self._slow_periods = 0
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > MAX_UNREAD_BYTES and not self.transport.is_closing():
                self.refuse(413, "unread body")
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = None
        self._overhead = 0
        if not self.cycle.response_complete:
            self._open_connections.serve(self)
        elif not self.transport.is_closing():  # the response came before the end of the body
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._open_connections.wait(self)

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "invalid")

    def _await_headers(self) -> None:
        self._receiving = "headers"
        self._overhead = self._slow_periods = 0
