"""One method for both clients: written with `await`, and callable without it.

A coroutine that never has to wait is done when it is resumed for the first time. So the synchronous client sends over
a connection that returns only with the answer. It needs no event loop, and works in a notebook, which has its own.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

Params = ParamSpec("Params")
Answer = TypeVar("Answer")


class SyncClient:
    """A client whose methods return the results of the coroutines of `async_routes`."""

    async_routes: Any


class sync_and_async(Generic[Params, Answer]):
    """Decorator of an `async def`, which becomes a plain method of a SyncClient."""

    def __init__(self, function: Callable[Concatenate[Any, Params], Coroutine[Any, Any, Answer]]) -> None:
        self._function = function

    @overload
    def __get__(self, client: SyncClient, owner: type) -> Callable[Params, Answer]: ...
    @overload
    def __get__(self, client: object, owner: type) -> Callable[Params, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, client: object, owner: type) -> Callable[Params, Any]:
        if not isinstance(client, SyncClient):
            return self._function.__get__(client, owner)
        method = self._function.__get__(client.async_routes)

        @wraps(method)
        def call(*args: Params.args, **kwargs: Params.kwargs) -> Answer:
            return _run(method(*args, **kwargs))

        return call


class sync_and_async_iterator(Generic[Params, Answer]):
    """Decorator of an `async def` that yields, which becomes a plain generator of a SyncClient."""

    def __init__(self, function: Callable[Concatenate[Any, Params], AsyncIterator[Answer]]) -> None:
        self._function = function

    @overload
    def __get__(self, client: SyncClient, owner: type) -> Callable[Params, Iterator[Answer]]: ...
    @overload
    def __get__(self, client: object, owner: type) -> Callable[Params, AsyncIterator[Answer]]: ...
    def __get__(self, client: object, owner: type) -> Callable[Params, Any]:
        if not isinstance(client, SyncClient):
            return self._function.__get__(client, owner)
        method = self._function.__get__(client.async_routes)

        @wraps(method)
        def iterate(*args: Params.args, **kwargs: Params.kwargs) -> Iterator[Answer]:
            return _iterate(method(*args, **kwargs))

        return iterate


def _run(work: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a method of the synchronous client waited for an event loop")


def _iterate(work: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
    try:
        while True:
            try:
                item = _run(work.__anext__())  # type: ignore[arg-type]
            except StopAsyncIteration:
                return
            yield item
    finally:
        _run(work.aclose())
