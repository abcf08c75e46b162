"""How a client sends: by an HTTP client that blocks, or by one that is awaited."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Protocol

import httpx
from httpx_sse import EventSource, ServerSentEvent


class Connection(Protocol):
    """What the two have in common. Raises httpx.TransportError where no answer comes."""

    @property
    def http(self) -> httpx.Client | httpx.AsyncClient: ...

    async def send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """The answer; of a stream that begins, its head alone."""

    def events(self, answer: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
        """The events of a stream until it ends; it is closed then."""

    async def sleep(self, seconds: float) -> None: ...


class Blocking:
    """Its methods never wait for an event loop: each returns only when it is done (see `frontend.client.both`)."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        answer = self.http.send(request, stream=stream)
        if stream and not answer.is_success:
            answer.read()
        return answer

    async def events(self, answer: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
        try:
            for event in EventSource(answer).iter_sse():
                yield event
        finally:
            answer.close()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Awaited:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        answer = await self.http.send(request, stream=stream)
        if stream and not answer.is_success:
            await answer.aread()
        return answer

    async def events(self, answer: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
        try:
            async for event in EventSource(answer).aiter_sse():
                yield event
        finally:
            await answer.aclose()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
