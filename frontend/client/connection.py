"""Connections of the two clients: over an HTTP client that blocks, or over one that is awaited."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Protocol

import httpx
from httpx_sse import EventSource, ServerSentEvent


class Connection(Protocol):
    """The interface of both. Methods raise httpx.TransportError if no answer comes."""

    @property
    def http(self) -> httpx.Client | httpx.AsyncClient: ...

    async def send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Return the answer; of a stream, only its head."""

    def events(self, answer: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a stream until it ends, then close it."""

    def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Yield the content of a stream, then close it."""

    async def sleep(self, seconds: float) -> None: ...


class SyncConnection:
    """A connection whose coroutines block and never wait for an event loop (see `dual_api`)."""

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

    async def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in answer.iter_bytes():
                yield chunk
        finally:
            answer.close()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class AsyncConnection:
    """A connection whose coroutines wait in the event loop."""

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

    async def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        finally:
            await answer.aclose()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
